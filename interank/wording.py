"""How messages count and list, 1 token and 2 tokens, a, b and c; and how tables stand on a screen."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun, which takes an s unless its plural is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], none: str = "none", last: str = "and") -> str:
    """The names with commas between them and a word before the last; `none` where there is no name."""
    *others, end = [str(name) for name in names] or [none]
    return f"{', '.join(others)} {last} {end}" if others else end


def aligned(rows: Sequence[Sequence[str]], *, figures: bool = False) -> str:
    """Rows as columns, each as wide as its widest cell; those of `figures`, all but the first, end where it ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in ([*zip(row, widths, strict=True)] for row in rows):
        cells = [cell.rjust(width) if figures else cell.ljust(width) for cell, width in others]
        lines.append("  ".join([first[0].ljust(first[1]), *cells]).rstrip())
    return "\n".join(lines)


def nearby(path: Path) -> str:
    """The question whether a file or folder with a like name was meant, to end "does not exist" with; may be empty."""
    near = nearest(path)
    return f" (did you mean {near}?)" if near else ""


def nearest(path: Path, suits: Callable[[Path], bool] = Path.exists) -> Path | None:
    """What stands beside a path, is called nearly the same and suits; None where there is nothing."""
    beside: list[str] = []
    # Where nothing can be listed, nothing is proposed.
    with suppress(OSError, ValueError):
        beside = [each.name for each in path.parent.iterdir() if not each.name.startswith(".") and suits(each)]
    near = difflib.get_close_matches(path.name, beside, n=1)
    return path.with_name(near[0]) if near else None
