"""A shard: which share of a work's items one of several commands does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from interank.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """The n-th of so many shares, counted from 1; shares are contiguous and differ by one item at most."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of `3/64`.

        Raises:
            InputError: It is none.
        """
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text, re.ASCII)
        shard = cls(int(found[2]), int(found[1])) if found else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise InputError(
                f"--shards {text}: found no shard; give NUMBER/OF with a number from 1 to OF, as --shards 3/64"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, total: int, what: str) -> range:
        """The places of its items.

        Raises:
            InputError: There are fewer items than shards.
        """
        if self.of > total:
            raise InputError(f"shard {self}: there are {total} {what}, and each shard needs one; take fewer shards")
        return range((self.number - 1) * total // self.of, self.number * total // self.of)
