"""Numbers, texts and JSON from outside: each is checked to be what it has to be before it is used or stored."""

from __future__ import annotations

import json
import math
import reprlib

# What a text with half a character cannot be blamed for is written with this in its place.
_MARK = "\N{REPLACEMENT CHARACTER}"


def parsed(text: str | bytes) -> object:
    """What the text says as JSON.

    Raises:
        ValueError: It is not JSON, not UTF-8, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        found: object = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise ValueError(f"bytes that are not UTF-8, {error.reason}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def spelled(text: str) -> float:
    """The number that a text spells as other programs do; Python itself takes `1_0` and any script's digits too.

    Raises:
        ValueError: It spells none.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"{shown(text)} is no number")
    return float(text)


def finite(value: object, *, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number within the bounds, as a float.

    Raises:
        ValueError: It is something else; true and false are no numbers.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and least <= number <= most:
            return number
    bounds = (f" of at least {least:g}" * (least > -math.inf), f" of at most {most:g}" * (most < math.inf))
    raise ValueError(f"{shown(value)} is no finite number{' and'.join(filter(None, bounds))}")


def whole(value: object, *, least: int, most: int) -> int:
    """An integer within the bounds.

    Raises:
        ValueError: It is something else; 1.0 and true are no integers.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(f"{shown(value)} is no integer from {least} to {most}")


def text(value: object) -> str:
    """A text that UTF-8 can write; JSON can spell half of a surrogate pair, which no file and no tokenizer takes.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    if half := half_character(value):
        raise ValueError(f"it holds {half!r}, half a character that UTF-8 cannot write")
    return value


def half_character(value: str) -> str:
    """The first part of the text that UTF-8 cannot write; empty if there is none."""
    if value.isascii():
        return ""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return value[error.start : error.end]
    return ""


def writable(value: str) -> str:
    """The text with a mark in place of each half character, for what only tells of a text and must be written."""
    if not half_character(value):
        return value
    return "".join(_MARK if "\ud800" <= character <= "\udfff" else character for character in value)


def shown(value: object) -> str:
    """The value for a message, short however long it is; half characters are spelled out."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python prints no integer of so many digits.
        return "a number of thousands of digits"
