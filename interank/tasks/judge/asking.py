"""What one model is asked about a query's documents, and what it answers: verdicts, with a guard or without."""

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
from interank.tasks.documents import tell_unlearned
from interank.types import Document, Query, Relevance

log = logging.getLogger(__name__)

LABEL_ROOM = 16
# A trained judge has nearly all of it; a chat model that was never trained to grade some tenths.
_LITTLE = 0.1
# A grade is read at a position that is forced, which takes token ids in and the labels' own logits out.
_NEEDED: frozenset[Ability] = frozenset({"token_ids", "label_logits"})


@dataclass(frozen=True)
class Judge:
    """A model that grades documents, in one mode."""

    engine: Engine
    encoder: PromptEncoder
    mode: GradedMode = "score"
    max_reasoning_tokens: int = 256
    """What an explanation may take."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Of the engine, which computes one call at a time."""
    guard: Guard = "none"
    explains: bool = True
    """Whether it may have learned to explain; one that is known to have learned grades alone has not."""
    told: set[str] = field(default_factory=set, repr=False, compare=False)
    """What users were warned of once, in whatever mode the model is asked."""

    def __post_init__(self) -> None:
        """Refuse an engine that lacks what the mode needs.

        Raises:
            InputError: It lacks something.
        """
        if lacking := _NEEDED - self.engine.abilities:
            raise InputError(
                f"mode {self.mode} needs an engine with {' and '.join(sorted(lacking))}, which "
                f"{type(self.engine).__name__} on {self.engine.device} lacks: chat endpoints encode the prompt anew "
                "and cannot be made to grade; use transformers or vllm"
            )

    def prompts(self, query: Query, documents: Sequence[Document]) -> list[Prompt]:
        """What the model reads of each document in this mode."""
        tell_unlearned(query, follows=self.encoder.settings.follows)
        if self.mode == "reason":
            room = self.max_reasoning_tokens + LABEL_ROOM
            return [self.encoder.prompt(query, d, answer_tokens=room, order="reason_first") for d in documents]
        return [self.encoder.prompt(query, d, answer_tokens=LABEL_ROOM, order="grade_first") for d in documents]

    def verdicts(self, query: Query, documents: Sequence[Document]) -> list[tuple[Prompt, Verdict]]:
        """What the model reads of each document, in the order given, and what it says of it.

        Raises:
            PromptError: No grade can be read off some.
        """
        prompts = self.prompts(query, documents)
        if self.mode == "reason":
            found = reason(self.engine, self.encoder, prompts, Sampling(self.max_reasoning_tokens))
        else:
            found = [Verdict(labels, "", True) for labels in grade(self.engine, self.encoder, prompts)]
        self._tell_of_mass(found)
        return list(zip(prompts, found, strict=True))

    def _tell_of_mass(self, found: Sequence[Verdict]) -> None:
        """Warn once of a model that would write something else than a grade, so that its scores are of little worth."""
        if not found or self.told:
            return
        mass = fmean(item.labels.mass for item in found)
        if mass < _LITTLE:
            self.told.add("mass")
            log.warning(
                "the three grades hold %.1f%% of the probability where one belongs: this model was not trained to "
                "grade, or the prompt is not its own; its ranking may be chance",
                100 * mass,
            )

    def explanations(self, query: Query, graded: Sequence[tuple[Document, Relevance]]) -> list[str]:
        """Why each document has the grade that it was given, in whole sentences.

        Raises:
            PromptError: The model computes no numbers for some.
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
