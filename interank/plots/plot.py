"""A plot with what makes it readable: a caption that says how, the names of its series, and its figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing and what belongs beside it.

    The drawing holds no names from outside: those of its series stand in `legend`, in the order of their colours, so
    that the page sets them as it sets every text.
    """

    name: str
    """Letters and hyphens: the place in the page, and the name of the file of its figures."""
    title: str
    caption: str
    """How to read it."""
    svg: str
    data: Sequence[Sequence[Cell]]
    """Its figures: a header, then rows."""
    legend: Sequence[tuple[int, str]] = ()
    """The number of a series' colour, and the series' name."""


def comma_separated(rows: Sequence[Sequence[Cell]]) -> str:
    """The rows as CSV; figures with six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return stream.getvalue()
