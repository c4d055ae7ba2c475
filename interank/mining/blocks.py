"""Cuts the bytes of a dump's file after whole lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interank.mining.streams import CutShortError

# A longer line or stretch without a row of its own is no dump as archive.org makes them.
LONGEST = 16 << 20

_HEAD = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml\ version="1\.0"(?:\ encoding="utf-8")?(?:\ standalone="(?:yes|no)")?[ ]?\?>)?
    \s*<([a-z_][a-z0-9_]*)>[ \t\r]*\n""",
    re.IGNORECASE | re.VERBOSE,
)


class Blocks:
    """The bytes of a table cut after whole lines.

    Attributes:
        head_size: The bytes of the head that was taken.
        cut_short: Why the bytes ended before their end, if they did.
        endless: Whether a line was too long to be held.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.head_size = 0
        self.cut_short = ""
        self.endless = False

    def head(self) -> int | None:
        """Take what stands before the first row; its lines, or None if that is unusual."""
        while len(self._rest) < 1 << 10 and (chunk := self._next()):
            self._rest += chunk
        match = _HEAD.match(self._rest)
        if match is None:
            return None
        self._rest = self._rest[match.end() :]
        self.head_size = match.end()
        return match[0].count(b"\n")

    def whole_lines(self) -> Iterator[bytes]:
        """Yield the rest; only the last block may end without a line end."""
        while chunk := self._next():
            end = chunk.rfind(b"\n") + 1
            if end:
                yield b"".join((self._rest, memoryview(chunk)[:end]))
                self._rest = chunk[end:]
            else:
                self._rest += chunk
                if len(self._rest) > LONGEST:
                    self.endless = True
                    return
        # A small file is here whole: its rows, and what follows the last line end, which is not of their kind.
        end = self._rest.rfind(b"\n") + 1
        yield from (block for block in (self._rest[:end], self._rest[end:]) if block)

    def _next(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except CutShortError as error:
            self.cut_short = str(error)
            return b""
