"""Messages on the questions that mining left out, and on the settings that would include them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from interank.errors import InputError
from interank.settings import MiningRecipe
from interank.wording import counted


class DecontaminatedError(InputError):
    """No question is left, after some were removed as contaminated."""


def reasons(counts: Mapping[str, int], settings: MiningRecipe) -> list[str]:
    """The reasons why questions were left out, each with their number."""
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
        "unpaired_questions": "without a usable document, or without a negative for it",
        "repeated_questions": "nearly the same as one drawn earlier",
    }
    return [f"{counts[name]} {clause}" for name, clause in clauses.items() if counts.get(name)]


def nothing_left(sites: Collection[Mapping[str, int]], settings: MiningRecipe) -> InputError:
    """The error for sites with these counts, of which no question is left."""
    total: Counter[str] = Counter()
    for counts in sites:
        total.update(counts)
    questions, removed = total["questions"], total["contaminated_questions"]
    if removed and removed == questions:
        return DecontaminatedError(f"all {counted(questions, 'question')} were removed by decontamination")
    summary = f"none of {counted(questions, 'question')} of {counted(len(sites), 'site')} can be used"
    why = "; ".join(reasons(total, settings)) or "there is no question with an answer"
    if removed:
        return DecontaminatedError(f"{summary}: {why}; decontamination removed {removed}")
    return InputError(f"{summary}: {why}; loosen these settings, or give other dumps")
