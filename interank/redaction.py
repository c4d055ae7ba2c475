"""Redacts keys, tokens and passwords from texts, and removes control characters that act on terminals."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache

# Names of environment variables that hold secrets, and the least length of a secret.
_NAMES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
_LEAST = 8
TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})")
"""Texts that look like a service's API key."""
# In JSON the slashes may be escaped, and in JSON within JSON several times.
_IN_ADDRESS = re.compile(r"(:(?:\\{0,15}/){2})[^/\s'\"]{1,200}@")
_HIDDEN = "[hidden]"
# Control characters of cursor, window title and text direction; line breaks, tabs and carriage returns are kept.
_COMMANDS = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)


def redacted(text: str) -> str:
    """The text without the environment's secrets, texts that look like API keys, and passwords in addresses."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = without(text, secret)
    text = TOKEN.sub(_HIDDEN, text)
    return _IN_ADDRESS.sub(rf"\1{_HIDDEN}@", text) if "@" in text else text


def without(text: str, secret: str) -> str:
    """The text without a secret, plain or in any of JSON's escapes."""
    text = text.replace(secret, _HIDDEN)
    return _escaped(secret).sub(_HIDDEN, text) if "\\" in text else text


def _secrets() -> Iterator[str]:
    """The values of environment variables that hold secrets, and each part of a list with commas."""
    for name, value in os.environ.items():
        if len(value) >= _LEAST and _NAMES.search(name):
            yield value
            yield from (part for each in value.split(",") if len(part := each.strip()) >= _LEAST)


@lru_cache(maxsize=256)
def _escaped(secret: str) -> re.Pattern[str]:
    """A pattern of the secret with any of its characters escaped, up to four times (JSON within JSON)."""
    return re.compile("".join(rf"(?:\\{{0,15}}{re.escape(each)}|{_numbered(each)})" for each in secret))


def _numbered(character: str) -> str:
    """A pattern of a character's escape by number; of two numbers for a character beyond the first 65,536."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(rf"\\{{1,15}}u(?i:{units[place : place + 4]})" for place in range(0, len(units), 4))


def shown(text: str) -> str:
    """The text without control characters that act on a terminal."""
    return text if text.isascii() and text.isprintable() else text.translate(_COMMANDS)
