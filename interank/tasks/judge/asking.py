"""A judge: a model with its engine and prompts, which grades and explains a query's documents in one mode."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from interank.engines.judge import Verdict, explain, grade, reason, whole_sentences
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Engine, Sampling
from interank.errors import InputError
from interank.modes import GradedMode, Guard
from interank.tasks.documents import warn_unlearned
from interank.types import Document, Query, Relevance

log = logging.getLogger(__name__)

# Tokens of an answer besides its explanation: label line, gap, end-of-turn.
LABEL_ROOM = 16
# Label mass below which scores are doubtful: a trained judge has nearly 1, an untrained chat model some tenths.
_LITTLE = 0.1
# A grade is read at a forced position, so the engine has to take token ids and return the label tokens' logits.
_NEEDED: frozenset[Ability] = frozenset({"token_ids", "label_logits"})


@dataclass(frozen=True)
class Judge:
    """A model that grades documents, in one mode."""

    engine: Engine
    encoder: PromptEncoder
    mode: GradedMode = "score"
    max_reasoning_tokens: int = 256
    """The token budget of an explanation."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Guards the engine, which computes one call at a time."""
    guard: Guard = "none"
    explains: bool = True
    """False where the model is known to have learned grades alone."""
    warned: set[str] = field(default_factory=set, repr=False, compare=False)
    """The warnings that were logged already; a judge shares them with its copies in other modes."""

    def __post_init__(self) -> None:
        """Refuse an engine that lacks what the mode needs.

        Raises:
            InputError: The engine cannot take token ids or return label logits.
        """
        if lacking := _NEEDED - self.engine.abilities:
            raise InputError(
                f"mode {self.mode} needs an engine with {' and '.join(sorted(lacking))}, which "
                f"{type(self.engine).__name__} on {self.engine.device} lacks: chat endpoints encode the prompt anew "
                "and cannot be made to grade; use transformers or vllm"
            )

    def prompts(self, query: Query, documents: Sequence[Document]) -> list[Prompt]:
        """The prompt of each document in this mode."""
        warn_unlearned(query, follows=self.encoder.settings.follows)
        if self.mode == "reason":
            room = self.max_reasoning_tokens + LABEL_ROOM
            return [self.encoder.prompt(query, d, answer_tokens=room, order="reason_first") for d in documents]
        return [self.encoder.prompt(query, d, answer_tokens=LABEL_ROOM, order="grade_first") for d in documents]

    def verdicts(self, query: Query, documents: Sequence[Document]) -> list[tuple[Prompt, Verdict]]:
        """The prompt and the verdict of each document, in the order given.

        Raises:
            PromptError: The model computes no finite logits for some document.
        """
        prompts = self.prompts(query, documents)
        if self.mode == "reason":
            verdicts = reason(self.engine, self.encoder, prompts, Sampling(self.max_reasoning_tokens))
        else:
            verdicts = [Verdict(labels, "", True) for labels in grade(self.engine, self.encoder, prompts)]
        self._warn_of_low_mass(verdicts)
        return list(zip(prompts, verdicts, strict=True))

    def _warn_of_low_mass(self, verdicts: Sequence[Verdict]) -> None:
        """Warn once of a model that gives the grades little probability: its scores are worth little."""
        if not verdicts or self.warned:
            return
        mass = fmean(item.labels.mass for item in verdicts)
        if mass < _LITTLE:
            self.warned.add("mass")
            log.warning(
                "the three grades hold %.1f%% of the probability at the grade's position: this model was not trained "
                "to grade, or the prompt is not its own; its ranking may be chance",
                100 * mass,
            )

    def explanations(self, query: Query, graded: Sequence[tuple[Document, Relevance]]) -> list[str]:
        """An explanation of each document's given grade, in whole sentences.

        Raises:
            PromptError: The model computes no finite logits for some document.
        """
        room = self.max_reasoning_tokens + LABEL_ROOM
        prompts = [self.encoder.prompt(query, d, answer_tokens=room, order="grade_first") for d, _ in graded]
        sampling = Sampling(self.max_reasoning_tokens)
        completions = explain(self.engine, self.encoder, prompts, [relevance for _, relevance in graded], sampling)
        texts = [self.encoder.text(item.ids).strip() for item in completions]
        return [
            text if item.finished else whole_sentences(text) or text
            for text, item in zip(texts, completions, strict=True)
        ]
