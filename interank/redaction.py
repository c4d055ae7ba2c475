"""What is never told or shown: keys, tokens and passwords, and signs that command the terminal they are shown on."""

from __future__ import annotations

import os
import re

# Of variables of the environment: what those are called that hold secrets, and how long a secret is at least.
_NAMES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
_LEAST = 8
TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})")
"""What looks like a service's key."""
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]{1,200}@")
_HIDDEN = "[hidden]"
# All that moves a cursor, names a window or turns a line round; ends of lines, tabs and a progress bar's return stay.
_COMMANDS = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)


def redacted(text: str) -> str:
    """The text without secrets of the environment, what looks like a service's key, and passwords in addresses."""
    for name, value in os.environ.items():
        if len(value) >= _LEAST and _NAMES.search(name) and value in text:
            text = text.replace(value, _HIDDEN)
    text = TOKEN.sub(_HIDDEN, text)
    return _IN_ADDRESS.sub(f"{_HIDDEN}@", text) if "://" in text else text


def shown(text: str) -> str:
    """The text as a terminal may have it."""
    return text if text.isascii() and text.isprintable() else text.translate(_COMMANDS)
