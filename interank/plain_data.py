"""Checks numbers, texts and JSON from outside before they are used or stored."""

from __future__ import annotations

import json
import math
import reprlib

# Replaces lone surrogates in texts that have to be written.
_MARK = "\N{REPLACEMENT CHARACTER}"


def parsed(text: str | bytes) -> object:
    """Parse JSON.

    Raises:
        ValueError: The text is not JSON, not UTF-8, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        value: object = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise ValueError(f"bytes that are not UTF-8, {error.reason}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def spelled(text: str) -> float:
    """Parse a number in ASCII digits, without Python's `1_0` and other scripts' digits.

    Raises:
        ValueError: The text is no such number.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"{shown(text)} is no number")
    return float(text)


def finite(value: object, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Check that a value is a finite number within the bounds, and return it as a float.

    Raises:
        ValueError: It is not; true and false are no numbers.
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
    """Check that a value is an integer within the bounds.

    Raises:
        ValueError: It is not; 1.0 and true are no integers.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(f"{shown(value)} is no integer from {least} to {most}")


def text(value: object) -> str:
    """Check that a value is a text that UTF-8 can encode; JSON can hold lone surrogates, which it cannot.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    if half := half_character(value):
        raise ValueError(f"it holds {half!r}, half a character that UTF-8 cannot write")
    return value


def half_character(value: str) -> str:
    """The first lone surrogates in the text, which UTF-8 cannot encode; empty if there are none."""
    if value.isascii():
        return ""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return value[error.start : error.end]
    return ""


def writable(value: str) -> str:
    """The text with a replacement character for each lone surrogate."""
    if not half_character(value):
        return value
    return "".join(_MARK if "\ud800" <= character <= "\udfff" else character for character in value)


def shown(value: object) -> str:
    """The value for a message, shortened; lone surrogates are escaped."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python refuses to print integers of thousands of digits.
        return "a number of thousands of digits"
