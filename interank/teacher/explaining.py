"""Collects several explanations of a judged pair, to be marked together: a teacher's, a student's and made faults."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from interank.explanations import FILE, HONEST, ExplanationRow, Kind, Writer, explanations_in
from interank.settings import ExplanationsRecipe
from interank.teacher.annotate import Annotator, Rejection, TeacherJudgment
from interank.teacher.faults import Faults
from interank.types import Example, Judgment, Pair, Split

# The distance between the seeds of a pair's samples.
_STRIDE = 104_729


class Draft(NamedTuple):
    """An explanation before it is marked."""

    text: str
    writer: Writer
    kind: Kind


@dataclass(slots=True)
class ExplainedPair:
    """A judged pair with its explanations."""

    example: Example
    drafts: list[Draft] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    """The rows of explanations that cannot be used."""
    unanswered: bool = False
    """Whether the budget ended before all explanations were written."""

    def add(self, text: str, writer: Writer, kind: Kind) -> None:
        """Add an explanation, unless one of the same words is there already."""
        if text.strip() and _plain(text) not in {_plain(draft.text) for draft in self.drafts}:
            self.drafts.append(Draft(text.strip(), writer, kind))

    @property
    def honest(self) -> str:
        """The first honest explanation; empty where there is none."""
        return next((draft.text for draft in self.drafts if draft.kind == HONEST), "")

    def rejects(self, writer: str, reason: str, reply: str) -> None:
        """Keep a reply that cannot be used, with the reason."""
        row = {"query_id": self.example.query.query_id, "doc_id": self.example.document.doc_id}
        self.rejected.append({**row, "writer": writer, "reason": reason, "reply": reply})


def chosen(examples: Sequence[Example], settings: ExplanationsRecipe) -> list[ExplainedPair]:
    """The drawn pairs in their order, each with its judgment's explanation."""
    drawn = sorted(range(len(examples)), key=lambda place: _draw(examples[place], settings.seed))[: settings.pairs]
    gathered = [ExplainedPair(examples[place]) for place in sorted(drawn)]
    for each in gathered:
        each.add(each.example.judgment.reasoning, "teacher", HONEST)
    return gathered


def have_written(
    annotator: Annotator, gathered: Sequence[ExplainedPair], settings: ExplanationsRecipe, writer: Writer
) -> None:
    """Ask a model why each pair has its grade, as many times as the recipe has samples of this writer.

    A reply that cannot be used counts too.
    """
    sampling = annotator.settings.model_copy(
        update={
            "grades": "given",
            "samples": 1,
            "temperature": settings.temperature,
            "max_reasoning_tokens": settings.max_tokens,
        }
    )
    wanted = settings.samples if writer == "teacher" else settings.student_samples
    for sample in range(wanted):
        # The judgment's explanation, where there is one, is the teacher's first.
        waiting = [each for each in gathered if writer == "student" or sample or not each.honest]
        sampler = replace(annotator, settings=sampling, seed=settings.seed + (sample + 1) * _STRIDE)
        # A student begins its explanations itself.
        sampler = replace(sampler, with_opening=writer == "teacher")
        outcomes = sampler.annotate([_unexplained(each.example) for each in waiting])
        for each, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, TeacherJudgment) and outcome.judgment.reasoning:
                each.add(outcome.judgment.reasoning, writer, HONEST)
            elif isinstance(outcome, TeacherJudgment) and outcome.unexplained is not None:
                each.rejects(writer, outcome.unexplained.reason, outcome.unexplained.reply)
            elif isinstance(outcome, Rejection):
                each.rejects(writer, outcome.reason, outcome.reply)
            else:
                each.unanswered = True


def add_faults(gathered: Sequence[ExplainedPair], settings: ExplanationsRecipe) -> None:
    """Make the faults of each pair from texts of its own split alone, so that training sees no validation text."""
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        own = [each for each in gathered if each.example.split == split and each.honest]
        honest = [_with(each.example, each.honest) for each in own]
        faults = Faults(honest, settings.seed)
        for each, example in zip(own, honest, strict=True):
            for kind in settings.faults:
                text = faults.made(kind, example)
                if text is not None:
                    each.add(text, "program", kind)


def earlier(judgments: Path | None, examples: Sequence[Example]) -> list[ExplanationRow]:
    """The explanations that the judgments already had, of the examples' pairs.

    Raises:
        InputError: Their file cannot be read.
    """
    if judgments is None or not (judgments / FILE).is_file():
        return []
    kept = {_pair(example) for example in examples}
    return [row for row in explanations_in(judgments) if (row.query_id, row.doc_id) in kept]


def not_anew(before: Sequence[ExplanationRow], marked: Sequence[ExplainedPair]) -> list[ExplanationRow]:
    """The explanations of earlier passes that are in none of the sets marked in this one."""
    texts = {(*_pair(each.example), draft.text) for each in marked for draft in each.drafts}
    return [row for row in before if (row.query_id, row.doc_id, row.explanation) not in texts]


def _pair(example: Example) -> tuple[str, str]:
    return example.query.query_id, example.document.doc_id


def _unexplained(example: Example) -> Pair:
    """The pair with its grade given and no explanation."""
    given = _with(example, "")
    return Pair(example.query, example.document, example.split, None, example.source, given)


def _with(example: Example, reasoning: str) -> Example:
    return replace(example, judgment=Judgment(reasoning, example.judgment.relevance))


def _draw(example: Example, seed: int) -> str:
    name = f"{seed}/explanations/{example.query.query_id}/{example.document.doc_id}"
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
