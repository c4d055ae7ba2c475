"""Examples as rows of token ids with what is trained on them, grouped by question so that they can share its tokens."""

from __future__ import annotations

from dataclasses import dataclass

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt and its answer in ids; the loss is on the answer from `trained_from` on.

    `grade_at` is the grade's place in the answer, `grades` how probable the teacher holds each; None where nothing
    is graded. Rows that are `listed` are compared with the others of their group, one for each document. `weight` is
    how much the row counts beside others.
    """

    task: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    trained_from: int = 0
    grade_at: int | None = None
    grades: tuple[float, float, float] | None = None
    listed: bool = False
    weight: float = 1.0

    @property
    def input_ids(self) -> list[int]:
        """The whole row."""
        return [*self.prompt, *self.answer]

    @property
    def labels(self) -> list[int]:
        """The same length, with -100 where there is no loss."""
        return [IGNORED] * (len(self.prompt) + self.trained_from) + list(self.answer[self.trained_from :])


Group = tuple[Row, ...]
"""The rows of one question that are computed together."""
