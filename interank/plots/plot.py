"""A plot with its caption, legend and data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its caption, legend and data.

    The drawing contains no untrusted names: the names of its series are in `legend`, in the order of their colours,
    where the page escapes them like any other text.
    """

    name: str
    """Letters and hyphens; the plot's id in the page, and the file name of its data."""
    title: str
    caption: str
    """How to read the plot."""
    svg: str
    data: Sequence[Sequence[Cell]]
    """The plotted figures: a header, then rows."""
    legend: Sequence[tuple[int, str]] = ()
    """Each series' colour number and name."""


def comma_separated(rows: Sequence[Sequence[Cell]]) -> str:
    """The rows as CSV; floats have six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return stream.getvalue()
