"""Tables on a screen."""

from __future__ import annotations

from interank.wording import aligned


def test_columns_begin_under_each_other_and_figures_end_there() -> None:
    rows = [("name", "size"), ("a", "10")]
    assert aligned(rows) == "name  size\na     10"
    assert aligned(rows, figures=True) == "name  size\na       10"


def test_lines_do_not_end_in_blanks() -> None:
    assert aligned([["a", "bb"], ["c", ""]]) == "a  bb\nc"
