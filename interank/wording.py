"""How messages count and list: 1 token and 2 tokens; a, b and c."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun, which takes an s unless its plural is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], none: str = "none", last: str = "and") -> str:
    """The names with commas between them and a word before the last; `none` where there is no name."""
    *others, end = [str(name) for name in names] or [none]
    return f"{', '.join(others)} {last} {end}" if others else end
