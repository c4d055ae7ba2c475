"""API keys: read from requests' headers, and compared by their digests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from interank.errors import InputError

_HEADERS = ("x-api-key", "api-key")
_SHOWN = 8


class Keys:
    """A set of keys, of which only digests are kept in memory."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def who(self, headers: Mapping[str, str]) -> str | None:
        """The first digits of the digest of a request's key; None without a valid key."""
        for key in _presented(headers):
            digest = _digest(key)
            # Compare with all keys, so that the time reveals nothing about them.
            if sum(hmac.compare_digest(digest, own) for own in self._digests):
                return digest.hex()[:_SHOWN]
        return None


def read_keys(file: Path | None, environment: str | None) -> Keys:
    """Read the keys of a file, one per line, and of an environment variable, separated by commas.

    Raises:
        InputError: The file cannot be read, or has no key.
    """
    lines: list[str] = []
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read ({error}); give a file with a key on each line") from None
        if not any(lines):
            raise InputError(f"{file} holds no key; write one on each line")
    return Keys(key for key in (*lines, *(part.strip() for part in (environment or "").split(","))) if key)


def _presented(headers: Mapping[str, str]) -> list[str]:
    keys = [headers[name] for name in _HEADERS if name in headers]
    whole = headers.get("authorization", "").strip()
    scheme, _, rest = whole.partition(" ")
    if scheme.lower() == "bearer":
        keys.append(rest.strip())
    elif scheme.lower() == "basic":
        keys += _password(rest)
    elif whole:
        # llama-index's client for TEI sends the key as the whole header.
        keys.append(whole)
    return keys


def _password(encoded: str) -> list[str]:
    try:
        return [base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")[2]]
    except (binascii.Error, UnicodeDecodeError):
        return []


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
