"""Reads request bodies up to a size limit, and writes replies and events as JSON bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from interank import plain_data
from interank.serving.requests import Refusal

# The most digits of a content length; Python refuses to parse integers of thousands of digits.
_LONGEST_NUMBER = 18


async def read_body(parts: AsyncIterator[bytes], length: str | None, most: int) -> dict[str, Any]:
    """Read the JSON object of a request; `length` is its Content-Length header.

    Raises:
        Refusal: The body is too large, or no JSON object.
    """
    if length is not None and length.isdecimal() and (len(length) > _LONGEST_NUMBER or int(length) > most):
        raise _too_large(most)
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > most:
            raise _too_large(most)
    try:
        content = plain_data.parsed(bytes(body))
    except ValueError as error:
        raise Refusal("invalid", f"found a body that is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise Refusal("invalid", f"found {type(content).__name__} as body; give a JSON object")
    return content


def as_json(value: Any) -> bytes:
    """A value as JSON in UTF-8; a lone surrogate, which UTF-8 cannot encode, becomes a JSON escape."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def event(name: str, data: Mapping[str, Any] | list[Any]) -> bytes:
    """A server-sent event."""
    return b"event: " + name.encode("ascii") + b"\ndata: " + as_json(data) + b"\n\n"


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", f"found a body of more than {most} bytes; send less at a time")
