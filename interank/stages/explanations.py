"""The last part of generate: several explanations of each judged pair, with marks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank import wording
from interank.artifact import Workplace
from interank.errors import InputError
from interank.explanations import ExplanationRow, write_explanations
from interank.ledger import write_rows
from interank.progress import track
from interank.recipe import GenerateRecipe
from interank.rubric import rubric_hash
from interank.stages.student_explanations import have_student_write
from interank.teacher.annotate import Annotator, Outcome
from interank.teacher.explaining import ExplainedPair, add_faults, chosen, earlier, have_written, not_anew
from interank.teacher.explanations_card import facts
from interank.teacher.marking import MarkedSet, made_marks, mark, marked_by
from interank.teacher.opening import asked_together
from interank.teacher.outcomes import sorted_out
from interank.types import Pair

log = logging.getLogger(__name__)

REJECTED_FILE = "rejected_explanations.jsonl"


@dataclass(frozen=True, slots=True)
class Explanations:
    """The marked sets, the rejected explanations, and the numbers of pairs without a set."""

    sets: list[MarkedSet]
    rejected: list[dict[str, Any]]
    skipped: int
    """Pairs with fewer than two different explanations."""
    unanswered: int
    """Pairs that the budget left without explanations or marks."""
    earlier: list[ExplanationRow]
    """The explanations of the input judgments, without those that are marked again."""


def explain(
    recipe: GenerateRecipe,
    place: Workplace,
    annotator: Annotator | None,
    pairs: Sequence[Pair],
    outcomes: Sequence[Outcome],
) -> Explanations | None:
    """Collect explanations of the kept judgments, and have them marked; None where the recipe asks for none.

    Raises:
        InputError: No pair has two explanations, or all marks of each pair are equal.
    """
    settings = recipe.explanations
    if settings is None:
        return None
    examples = sorted_out(pairs, outcomes, recipe.max_grade_share, recipe.seed).examples
    before = earlier(recipe.judgments, examples)
    gathered = chosen(examples, settings)
    size = asked_together(recipe.teacher)
    if annotator is not None and settings.samples > 1:
        starts = range(0, len(gathered), size)
        for start in track(starts, what="explanations", unit="batches", total=len(starts)):
            have_written(annotator, gathered[start : start + size], settings, "teacher")
    if settings.student is not None:
        have_student_write(recipe, settings, settings.student, place, gathered)
    add_faults(gathered, settings)
    answered = [each for each in gathered if not each.unanswered]
    sets = [each for each in answered if each.honest and len(each.drafts) > 1]
    if gathered and not sets and len(answered) == len(gathered):
        raise _nothing_to_compare(gathered)
    marked: list[MarkedSet] = []
    if annotator is None or settings.marks == "made":
        marked += map(made_marks, sets)
    else:
        starts = range(0, len(sets), size)
        for start in track(starts, what="marks", unit="batches", total=len(starts)):
            marked += [each for each in mark(annotator, sets[start : start + size], settings) if each is not None]
        _require_marks(marked, recipe.teacher.model)
    rejected = [row for each in gathered for row in each.rejected]
    unanswered = len(gathered) - len(answered) + len(sets) - len(marked)
    kept = not_anew(before, [each.gathered for each in marked])
    return Explanations(marked, rejected, len(answered) - len(sets), unanswered, kept)


def written(explanations: Explanations | None, recipe: GenerateRecipe, folder: Path) -> dict[str, Any]:
    """Write the explanations and the rejected ones; returns the facts for card and manifest, if there are any."""
    settings = recipe.explanations
    if explanations is None or settings is None:
        return {}
    by = marked_by(settings, recipe.teacher.model)
    made = [row for each in explanations.sets for row in each.rows(by)]
    write_explanations([*explanations.earlier, *made], folder)
    write_rows(folder / REJECTED_FILE, explanations.rejected)
    rubric = {"rubric_hash": rubric_hash()} if settings.marks == "teacher" else {}
    more = {
        "rejected": len(explanations.rejected),
        "skipped": explanations.skipped,
        "unanswered": explanations.unanswered,
    }
    if explanations.earlier:
        more |= {"earlier": len(explanations.earlier)}
    return {"explanations": {"marked_by": by, **rubric, **facts(explanations.sets, made, explanations.earlier), **more}}


def counts(notes: Mapping[str, Any]) -> dict[str, int]:
    """The number of explanations, for the manifest."""
    return {"explanations": notes["explanations"]["explanations"]} if "explanations" in notes else {}


def _nothing_to_compare(gathered: Sequence[ExplainedPair]) -> InputError:
    if not any(each.honest for each in gathered):
        return InputError(
            f"none of {wording.counted(len(gathered), 'judged pair')} has an explanation, so no fault can be made and "
            "nothing compared; give teacher.max_reasoning_tokens or explanations.samples=2, so that there are some"
        )
    return InputError(
        f"none of {wording.counted(len(gathered), 'pair')} has two different explanations, so there is nothing to "
        "compare; name more kinds in explanations.faults, or raise explanations.samples"
    )


def _require_marks(sets: Sequence[MarkedSet], teacher: str) -> None:
    """Raise where the teacher's marks order no explanations.

    Raises:
        InputError: It marked no set, or gave all explanations of each set the same mark.
    """
    if not sets:
        return
    read = [each for each in sets if each.whole]
    if not read:
        raise InputError(
            f"the teacher {teacher} marked none of {wording.counted(len(sets), 'set')} of explanations. The first: "
            f"{sets[0].gathered.rejected[-1]['reason']}; take another teacher, or explanations.marks=made"
        )
    tied = sum(each.is_tied for each in read)
    if tied == len(read):
        raise InputError(
            f"the teacher {teacher} gave all explanations of a pair one mark, in each of "
            f"{wording.counted(len(read), 'set')}, so its marks tell nothing apart; take another teacher, or "
            "explanations.marks=made"
        )
    if tied:
        log.warning("in %d of %d sets the teacher gave all explanations one mark, which tells nothing", tied, len(read))
