"""The values that rewards give to answers that order a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interank.tasks.order import ordering

UNREADABLE = -1.0
REPAIRED = 0.0


def reward_values(
    completions: Sequence[str],
    grades: Sequence[Sequence[int]],
    value: Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], list[float]],
) -> list[float | None]:
    """A value for each completion that orders a list, with one floor for all rewards of lists.

    Args:
        completions: The policy's answers.
        grades: The grades of each answer's documents, as they were shown.
        value: Computes values, 0 or more, of orders and their lists' grades.

    Returns:
        -1 where no order can be read; 0 where it had to be completed or numbers removed, since free repairs would teach
        to leave documents out; None where all documents have the same grade.
    """
    values: list[float | None] = [None] * len(completions)
    whole: list[tuple[int, Sequence[int]]] = []
    for place, (completion, judged) in enumerate(zip(completions, grades, strict=True)):
        if len(set(judged)) < 2:
            continue
        answer = ordering.parse(completion, len(judged))
        if answer is None:
            values[place] = UNREADABLE
        elif is_whole(answer):
            whole.append((place, answer.positions))
        else:
            values[place] = REPAIRED
    computed = value([positions for _, positions in whole], [grades[place] for place, _ in whole])
    for (place, _), number in zip(whole, computed, strict=True):
        values[place] = number
    return values


def is_whole(answer: ordering.Ordering) -> bool:
    """True where the answer names every document once and nothing else, however it writes the numbers."""
    repairs = answer.repairs
    return not (repairs.repeated or repairs.outside or repairs.missing or repairs.unfinished)
