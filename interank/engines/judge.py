"""Ask an engine for judgments in either order, with the grade read from the logits at its forced position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interank import judging
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, Engine, ForcedLabels, Grading, Labelling, LabelLogits, Sampling
from interank.engines.soundness import require_completions, require_labels
from interank.types import Judgment, Relevance


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model's answer on one pair: the labels' logits, and its explanation, which may be cut off."""

    labels: LabelLogits
    reasoning: str
    finished: bool

    @property
    def judgment(self) -> Judgment:
        """The most probable grade with the explanation."""
        return Judgment(self.reasoning, judging.most_probable(self.labels.logits))


def grade(engine: Labelling, encoder: PromptEncoder, prompts: Sequence[Prompt]) -> list[LabelLogits]:
    """Read the grade's logits at once, before any explanation (grade-first prompts).

    Raises:
        PromptError: The logits of a prompt give no grade.
    """
    logits = engine.label_logits([prompt.then(encoder.label_lead) for prompt in prompts], encoder.label_ids)
    require_labels(logits)
    return logits


def explain(
    engine: Engine,
    encoder: PromptEncoder,
    prompts: Sequence[Prompt],
    grades: Sequence[Relevance],
    sampling: Sampling,
    *,
    opening: str = "",
) -> list[Completion]:
    """Let the model explain given grades (grade-first prompts); every explanation begins with `opening`.

    Raises:
        PromptError: A completion has log-probabilities that are not finite.
    """
    openings = [
        prompt.then((*encoder.label_lead, encoder.label_ids[relevance], *encoder.gap, *encoder.plain(opening)))
        for prompt, relevance in zip(prompts, grades, strict=True)
    ]
    written = engine.generate(openings, sampling, end=encoder.end)
    require_completions(written)
    return written


def reason(engine: Engine, encoder: PromptEncoder, prompts: Sequence[Prompt], sampling: Sampling) -> list[Verdict]:
    """Let the model explain first, then read the grade at its forced position (reason-first prompts).

    Whatever the model wrote from its own label on is dropped: the grade is read from logits, not parsed.

    Raises:
        PromptError: A completion has log-probabilities, or labels have logits, that are not finite.
    """

    def continuation(completion: Completion) -> tuple[int, ...]:
        own = before_label(encoder, completion)
        return (*own, *(encoder.gap if own else ()), *encoder.label_lead)

    if isinstance(engine, Grading):
        position = ForcedLabels(continuation, encoder.label_ids)
        graded = engine.generate_graded(prompts, sampling, position, end=encoder.end)
    else:
        completions = engine.generate(prompts, sampling, end=encoder.end)
        require_completions(completions)
        forced = [prompt.then(continuation(item)) for prompt, item in zip(prompts, completions, strict=True)]
        graded = list(zip(completions, engine.label_logits(forced, encoder.label_ids), strict=True))
    require_completions([item for item, _ in graded])
    require_labels([labels for _, labels in graded])
    return [
        Verdict(labels, encoder.text(before_label(encoder, item)).strip(), item.finished) for item, labels in graded
    ]


def whole_sentences(text: str) -> str:
    """The text up to the end of its last whole sentence; empty if there is none."""
    ends = [position for mark in ".!?" for position in (text.rfind(f"{mark} "), text.rfind(f"{mark}\n"))]
    if text.endswith((".", "!", "?")):
        return text
    last = max(ends)
    return text[: last + 1] if last >= 0 else ""


def before_label(encoder: PromptEncoder, completion: Completion) -> tuple[int, ...]:
    """The completion's ids before its first label mention."""
    text = encoder.text(completion.ids)
    cut = text.find(judging.LABEL_LEAD.strip())
    if cut < 0:
        return completion.ids
    # Never longer than the completion, as budgets assume: an added token can become many when it is spelled out.
    return encoder.plain(text[:cut].rstrip())[: len(completion.ids)]
