"""What a split takes for the truth of questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.imports.results import ImportSettings
from interank.splits.content import content_of
from interank.stages import imports


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([("no", 0), ("no", 0)], [0, 0]),
        ([("no", 0), ("no", -2)], [0, 0]),
        ([("no", 0), ("yes", 0)], [1, 2]),
        ([("no", 0), ("", 0)], [1, 2]),
        ([("no", 0), ("", -1)], [1, 2]),
        ([("no", 3), ("no", 0)], [2, 1]),
        ([("", 0), ("", 0)], [2, 2]),
    ],
)
def test_only_what_may_have_helped_is_gold(tmp_path: Path, marks: list[tuple[str, int]], expected: list[int]) -> None:
    rows = "".join(f"why,reply {n},{accepted},{votes}\n" for n, (accepted, votes) in enumerate(marks))
    (tmp_path / "t.csv").write_text(f"question,answer,accepted,votes\n{rows}")
    imports.run(ImportSettings("questions", [tmp_path / "t.csv"]), tmp_path / "questions")
    grades = content_of(tmp_path / "questions").grades
    assert [list(found.values()) for found in grades.values()] == [expected]
