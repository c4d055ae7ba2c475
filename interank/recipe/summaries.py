"""The summary in a recipe's first two lines: its purpose, and the hardware, time and money that it takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_TAKES = re.compile(r"# Takes ([^|]+) \| ([^|]+) \| ([^|]+)")


class Summary(NamedTuple):
    """A recipe in a line; time and cost with a `~` are computed by the formula in docs/recipes.md."""

    what: str
    hardware: str
    time: str
    cost: str


def summary(path: Path) -> Summary:
    """Read the two lines of a bundled recipe."""
    what, takes, *_ = path.read_text("utf-8").splitlines()
    match = _TAKES.fullmatch(takes)
    if match is None:
        raise ValueError(f"{path}: the second line is not `# Takes HARDWARE | TIME | COST`")
    hardware, time, cost = match.groups()
    return Summary(what.removeprefix("# "), hardware, time, cost)
