"""Words counts ("1 token", "2 tokens") and lists ("a, b and c") in messages, and aligns tables."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun; the plural is the noun with an s unless it is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], none: str = "none", last: str = "and") -> str:
    """The names with commas between them and a word before the last; `none` for an empty list."""
    *others, end = [str(name) for name in names] or [none]
    return f"{', '.join(others)} {last} {end}" if others else end


def aligned(rows: Sequence[Sequence[str]], *, figures: bool = False) -> str:
    """Align rows in columns as wide as their widest cells; with `figures` all columns but the first align right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in ([*zip(row, widths, strict=True)] for row in rows):
        cells = [cell.rjust(width) if figures else cell.ljust(width) for cell, width in others]
        lines.append("  ".join([first[0].ljust(first[1]), *cells]).rstrip())
    return "\n".join(lines)


def nearby(path: Path) -> str:
    """A hint to follow "does not exist": whether a path with a similar name was meant; empty without one."""
    near = nearest(path)
    return f" (did you mean {near}?)" if near else ""


def nearest(path: Path, suits: Callable[[Path], bool] = Path.exists) -> Path | None:
    """The sibling of a path with the most similar name that suits; None if there is none."""
    beside: list[str] = []
    # A folder that cannot be listed gives no hint.
    with suppress(OSError, ValueError):
        beside = [each.name for each in path.parent.iterdir() if not each.name.startswith(".") and suits(each)]
    near = difflib.get_close_matches(path.name, beside, n=1)
    return path.with_name(near[0]) if near else None
