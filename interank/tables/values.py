"""What a table's value says, however it is spelled: ids, texts, numbers, true or false, tags and lists."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

from interank import plain_data

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0", "off"})
# What databases and pandas write in place of a null, where no text is expected.
_NULLS = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "nat", "\\n"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
_WHOLE_ID = re.compile(r"(-?[0-9]+)\.0+")
_BRACKETED = re.compile(r"[^<>|]+")
_LONGEST_ID = 200
_MOST = 1 << 62


def is_missing(value: object) -> bool:
    """Whether a value is null, which tables also write as NaN."""
    return value is None or (isinstance(value, float | Decimal) and value != value)


def _is_null(value: object) -> bool:
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() in _NULLS)


def identifier(value: Any) -> str:
    """An id as text; a whole float is the integer that it was before a null came into its column.

    Raises:
        ValueError: It is neither text nor a whole number, empty, or longer than any id.
    """
    found: Any = value.strip() if isinstance(value, str) else value
    if isinstance(found, str):
        found = plain_data.text(_WHOLE_ID.sub(r"\1", found) if _WHOLE_ID.fullmatch(found) else found)
    elif isinstance(found, float | Decimal) and -_MOST < found < _MOST and found == int(found):
        found = str(int(found))
    elif isinstance(found, int) and not isinstance(found, bool) and abs(found) < 10**_LONGEST_ID:
        found = str(found)
    if not isinstance(found, str) or not found or len(found) > _LONGEST_ID or not found.isprintable():
        raise ValueError(f"{plain_data.shown(value)} is no id, which is a whole number or a short text")
    return found


def text(value: object) -> str:
    """A text; numbers and dates are written out.

    Raises:
        ValueError: It is something else, or holds half a character.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | date) or is_missing(value):
        raise ValueError(f"{plain_data.shown(value)} is no text")
    return plain_data.text(value if isinstance(value, str) else str(value))


def number(value: object) -> float:
    """A finite number, also one that is spelled as text.

    Raises:
        ValueError: It is something else.
    """
    found: object = value
    if isinstance(value, str):
        try:
            found = plain_data.spelled(value)
        except ValueError:
            raise ValueError(f"{plain_data.shown(value)} is no number") from None
    elif isinstance(value, bool):
        found = int(value)
    elif isinstance(value, Real | Decimal):
        found = value if isinstance(value, int) else float(value)
    return plain_data.finite(found)


def whole(value: Any) -> int:
    """An integer, also as 3.0 or "3".

    Raises:
        ValueError: It is something else.
    """
    spelled = value.strip() if isinstance(value, str) else ""
    if _WHOLE.fullmatch(spelled):
        return int(spelled.partition(".")[0])
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and -_MOST < value < _MOST:
        found = int(value)
        if found == value:
            return found
    raise ValueError(f"{plain_data.shown(value)} is no whole number")


def votes(value: object) -> int:
    """A count of votes; 0 where there is none.

    Raises:
        ValueError: It is no whole number.
    """
    return 0 if _is_null(value) else whole(value)


def truth(value: object) -> bool | None:
    """Whether a value says so; None of null, which says neither.

    Raises:
        ValueError: It says neither true nor false.
    """
    if _is_null(value):
        return None
    said = value.strip().lower() if isinstance(value, str) else None
    if isinstance(value, bool | int | float | Decimal) and value in (0, 1):
        return bool(value)
    if said in _TRUE or said in _FALSE:
        return said in _TRUE
    raise ValueError(f"{plain_data.shown(value)} says neither true nor false (yes or no, 1 or 0)")


def tags(value: object) -> tuple[str, ...]:
    """Tags as a list, as `<a><b>` or `|a|b|`, or parted by commas, semicolons or blanks; none where there are none.

    Raises:
        ValueError: It is something else.
    """
    if _is_null(value):
        return ()
    if isinstance(value, str):
        spelled = value.strip()
        if spelled.startswith(("<", "|")):
            parts = _BRACKETED.findall(spelled)
        elif spelled.startswith("["):
            parts = items(spelled)
        else:
            separator = "," if "," in spelled else ";" if ";" in spelled else None
            parts = spelled.split(separator)
    else:
        parts = items(value)
    try:
        # A number among tags is one, 1.5 is something else.
        return tuple(name for part in parts if (name := identifier(part) if not _is_null(part) else ""))
    except ValueError as fault:
        raise ValueError(f"a tag: {fault}") from None


def items(value: object) -> list[Any]:
    """A list, also as JSON or Python write it into a field; of lists by name, as columns, the objects.

    Raises:
        ValueError: It is something else.
    """
    found = value
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        found = _literal(value.strip())
    if isinstance(found, Mapping) and found and all(isinstance(part, list) for part in found.values()):
        lengths = {len(part) for part in found.values()}
        if len(lengths) == 1:
            return [dict(zip(found, parts, strict=True)) for parts in zip(*found.values(), strict=True)]
    if isinstance(found, tuple):
        found = list(found)
    if not isinstance(found, list):
        raise ValueError(f"{plain_data.shown(value)} is no list")
    return found


def listed(value: object) -> list[Any] | None:
    """The texts or objects in a list, also in one that is spelled out in a field; None of a text.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            found = items(value)
            if all(isinstance(part, str | Mapping) for part in found):
                return found
        return None
    return items(value)


def _literal(spelled: str) -> object:
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(spelled)
    raise ValueError(f"{plain_data.shown(spelled)} is no list as JSON has it")
