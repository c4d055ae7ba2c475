"""Says in words which questions mining left out, and which setting takes them in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from interank.errors import InputError
from interank.settings import MiningRecipe
from interank.wording import counted


class DecontaminatedError(InputError):
    """No question is left, after some were removed as contaminated."""


def reasons(counts: Mapping[str, int], settings: MiningRecipe) -> list[str]:
    """Why questions were left out: for each reason their number and a clause."""
    answers = counted(settings.min_answers, "answer")
    clauses = {
        "unfit_questions": "outside mining.min_question_score, tags, words or include_closed",
        "few_answers_questions": f"with fewer than {answers} (mining.min_answers)",
        "short_answers_questions": f"with fewer than {answers} of {settings.min_document_words} words or more "
        "(mining.min_document_words)",
        "declined_questions": "with only answers that are marked as not accepted and have no votes (without the mark: "
        "import --map accepted=, or mining.columns.accepted=null)",
        "contaminated_questions": "removed by decontamination",
        "undrawn_questions": "not drawn (mining.questions, mining.questions_per_site)",
        "unpaired_questions": "without a document that may be used, or without a negative beside it",
        "repeated_questions": "nearly the same as one that was drawn before",
    }
    return [f"{counts[name]} {clause}" for name, clause in clauses.items() if counts.get(name)]


def nothing_left(sites: Collection[Mapping[str, int]], settings: MiningRecipe) -> InputError:
    """The error where no question is left of sites with these counts."""
    total: Counter[str] = Counter()
    for counts in sites:
        total.update(counts)
    questions, removed = total["questions"], total["contaminated_questions"]
    if removed and removed == questions:
        return DecontaminatedError(f"all {counted(questions, 'question')} were removed by decontamination")
    told = f"none of {counted(questions, 'question')} of {counted(len(sites), 'site')} can be used"
    why = "; ".join(reasons(total, settings)) or "there is no question with an answer"
    if removed:
        return DecontaminatedError(f"{told}: {why}; {removed} fell to decontamination")
    return InputError(f"{told}: {why}; loosen these settings, or give other dumps")
