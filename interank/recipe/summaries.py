"""What a recipe's first two lines say: what it is for, and the hardware, time and money that it takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_TAKES = re.compile(r"# Takes ([^|]+) \| ([^|]+) \| ([^|]+)")


class Summary(NamedTuple):
    """A recipe in a line; time and cost with a `~` are computed, by the formula in docs/recipes.md."""

    what: str
    hardware: str
    time: str
    cost: str


def summary(path: Path) -> Summary:
    """Read the two lines of a recipe that comes with interank."""
    what, takes, *_ = path.read_text("utf-8").splitlines()
    found = _TAKES.fullmatch(takes)
    if found is None:
        raise ValueError(f"{path}: the second line is not `# Takes HARDWARE | TIME | COST`")
    hardware, time, cost = found.groups()
    return Summary(what.removeprefix("# "), hardware, time, cost)
