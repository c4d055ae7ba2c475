"""What is never told or shown: keys, tokens and passwords, and signs that command the terminal they are shown on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache

# Of variables of the environment: what those are called that hold secrets, and how long a secret is at least.
_NAMES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
_LEAST = 8
TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})")
"""What looks like a service's key."""
# JSON may write the slashes with a backslash before each, and JSON within JSON with several.
_IN_ADDRESS = re.compile(r"(:(?:\\{0,15}/){2})[^/\s'\"]{1,200}@")
_HIDDEN = "[hidden]"
# All that moves a cursor, names a window or turns a line round; ends of lines, tabs and a progress bar's return stay.
_COMMANDS = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)


def redacted(text: str) -> str:
    """The text without secrets of the environment, what looks like a service's key, and passwords in addresses."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = without(text, secret)
    text = TOKEN.sub(_HIDDEN, text)
    return _IN_ADDRESS.sub(rf"\1{_HIDDEN}@", text) if "@" in text else text


def without(text: str, secret: str) -> str:
    """The text without a secret, as it is or in any of the ways in which JSON may write it."""
    text = text.replace(secret, _HIDDEN)
    return _escaped(secret).sub(_HIDDEN, text) if "\\" in text else text


def _secrets() -> Iterator[str]:
    """Each value of a variable that holds secrets, and of those that hold several by commas each one."""
    for name, value in os.environ.items():
        if len(value) >= _LEAST and _NAMES.search(name):
            yield value
            yield from (part for each in value.split(",") if len(part := each.strip()) >= _LEAST)


@lru_cache(maxsize=256)
def _escaped(secret: str) -> re.Pattern[str]:
    """The secret, any of whose characters may be escaped, once or, in JSON within JSON, again, up to four deep."""
    return re.compile("".join(rf"(?:\\{{0,15}}{re.escape(each)}|{_numbered(each)})" for each in secret))


def _numbered(character: str) -> str:
    """A character by its number, in either case; beyond the first 65,536 by two."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(rf"\\{{1,15}}u(?i:{units[place : place + 4]})" for place in range(0, len(units), 4))


def shown(text: str) -> str:
    """The text as a terminal may have it."""
    return text if text.isascii() and text.isprintable() else text.translate(_COMMANDS)
