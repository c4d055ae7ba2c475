"""The refusal of a teacher without a usable answer."""

from __future__ import annotations

from interank import wording
from interank.errors import InputError
from interank.recipe import GenerateRecipe
from interank.teacher.outcomes import SortedOut


def require_judgments(recipe: GenerateRecipe, asked: int, results: SortedOut) -> None:
    """Raise where no judgment, or no explanation, of the teacher is usable.

    Raises:
        InputError: Gives the reason for the first rejection.
    """
    teacher = recipe.teacher
    if not results.examples:
        raise InputError(
            f"the teacher {teacher.model} gave no usable judgment for any of "
            f"{wording.counted(asked, 'pair')}. The first was rejected because: "
            f"{results.rejected[0]['reason']}; try another teacher, or its settings on a few questions "
            "(mining.questions=5)"
        )
    if results.unexplained and not any(example.judgment.reasoning for example in results.examples):
        instead = ", or set max_reasoning_tokens: 0 to keep the grades alone" if teacher.grades == "votes" else ""
        raise InputError(
            f"the teacher {teacher.model} gave no usable explanation for "
            f"{wording.counted(len(results.unexplained), 'pair')}; the first was "
            f"not used because: {results.unexplained[0]['reason']}; take another teacher{instead}"
        )
