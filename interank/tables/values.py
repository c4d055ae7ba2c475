"""Conversion of a table's values from any spelling: ids, texts, numbers, truth values, tags and lists."""

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
# Spellings of null by databases and pandas, in columns that hold no texts.
_NULLS = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "nat", "\\n"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
_WHOLE_ID = re.compile(r"(-?[0-9]+)\.0+")
_BRACKETED = re.compile(r"[^<>|]+")
_LONGEST_ID = 200
_MOST = 1 << 62


def is_missing(value: object) -> bool:
    """Whether a value is null or NaN."""
    return value is None or (isinstance(value, float | Decimal) and value != value)


def _is_null(value: object) -> bool:
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() in _NULLS)


def identifier(value: Any) -> str:
    """Convert an id to text; a whole float becomes an integer, since pandas makes floats of integers beside nulls.

    Raises:
        ValueError: The value is neither a text nor a whole number, or it is empty or too long.
    """
    name: Any = value.strip() if isinstance(value, str) else value
    if isinstance(name, str):
        name = plain_data.text(_WHOLE_ID.sub(r"\1", name) if _WHOLE_ID.fullmatch(name) else name)
    elif isinstance(name, float | Decimal) and -_MOST < name < _MOST and name == int(name):
        name = str(int(name))
    elif isinstance(name, int) and not isinstance(name, bool) and abs(name) < 10**_LONGEST_ID:
        name = str(name)
    if not isinstance(name, str) or not name or len(name) > _LONGEST_ID or not name.isprintable():
        raise ValueError(f"{plain_data.shown(value)} is no id; an id is a whole number or a short text")
    return name


def text(value: object) -> str:
    """Convert a text, number or date to text.

    Raises:
        ValueError: The value is something else, or holds half a character.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | date) or is_missing(value):
        raise ValueError(f"{plain_data.shown(value)} is no text")
    return plain_data.text(value if isinstance(value, str) else str(value))


def number(value: object) -> float:
    """Convert a value to a finite number, also from text.

    Raises:
        ValueError: The value is something else.
    """
    result: object = value
    if isinstance(value, str):
        try:
            result = plain_data.spelled(value)
        except ValueError:
            raise ValueError(f"{plain_data.shown(value)} is no number") from None
    elif isinstance(value, bool):
        result = int(value)
    elif isinstance(value, Real | Decimal):
        result = value if isinstance(value, int) else float(value)
    return plain_data.finite(result)


def whole(value: Any) -> int:
    """Convert a value to an integer, also from 3.0 or "3".

    Raises:
        ValueError: The value is something else.
    """
    spelled = value.strip() if isinstance(value, str) else ""
    if _WHOLE.fullmatch(spelled):
        return int(spelled.partition(".")[0])
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and -_MOST < value < _MOST:
        integer = int(value)
        if integer == value:
            return integer
    raise ValueError(f"{plain_data.shown(value)} is no whole number")


def votes(value: object) -> int:
    """Convert a count of votes; a null is 0.

    Raises:
        ValueError: The value is no whole number.
    """
    return 0 if _is_null(value) else whole(value)


def truth(value: object) -> bool | None:
    """Convert a value to true or false, a null to None.

    Raises:
        ValueError: The value means neither true nor false.
    """
    if _is_null(value):
        return None
    word = value.strip().lower() if isinstance(value, str) else None
    if isinstance(value, bool | int | float | Decimal) and value in (0, 1):
        return bool(value)
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{plain_data.shown(value)} is neither true nor false (yes or no, 1 or 0)")


def tags(value: object) -> tuple[str, ...]:
    """Convert tags from a list, `<a><b>`, `|a|b|`, or a text with commas, semicolons or blanks; a null has none.

    Raises:
        ValueError: The value is something else.
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
        # A whole number can be a tag; `identifier` refuses others such as 1.5.
        return tuple(name for part in parts if (name := identifier(part) if not _is_null(part) else ""))
    except ValueError as fault:
        raise ValueError(f"a tag: {fault}") from None


def items(value: object) -> list[Any]:
    """Convert a value to a list, also from JSON or Python source; lists by name become a list of objects.

    Raises:
        ValueError: The value is something else.
    """
    result = value
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        result = _literal(value.strip())
    if isinstance(result, Mapping) and result and all(isinstance(part, list) for part in result.values()):
        lengths = {len(part) for part in result.values()}
        if len(lengths) == 1:
            return [dict(zip(result, parts, strict=True)) for parts in zip(*result.values(), strict=True)]
    if isinstance(result, tuple):
        result = list(result)
    if not isinstance(result, list):
        raise ValueError(f"{plain_data.shown(value)} is no list")
    return result


def listed(value: object) -> list[Any] | None:
    """The texts or objects of a list, also of one written as JSON or Python source; None for a text.

    Raises:
        ValueError: The value is neither.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            parts = items(value)
            if all(isinstance(part, str | Mapping) for part in parts):
                return parts
        return None
    return items(value)


def _literal(spelled: str) -> object:
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(spelled)
    raise ValueError(f"{plain_data.shown(spelled)} is no list in JSON")
