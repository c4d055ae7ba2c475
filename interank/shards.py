"""Shards: the share of the items that one of several commands processes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from interank.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """Shard `number`, from 1, of `of`; shards are contiguous and their sizes differ by at most one item."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard, as `3/64`.

        Raises:
            InputError: The text is no shard.
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text, re.ASCII)
        shard = cls(int(match[2]), int(match[1])) if match else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise InputError(
                f"--shards {text}: found no shard; give NUMBER/OF with a number from 1 to OF, as --shards 3/64"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def parts(self, count: int) -> list[Shard]:
        """Smaller shards that together hold this one's items, `count` of them."""
        return [Shard(self.of * count, (self.number - 1) * count + place) for place in range(1, count + 1)]

    def share(self, total: int, what: str) -> range:
        """The indices of its items.

        Raises:
            InputError: There are fewer items than shards.
        """
        if self.of > total:
            raise InputError(f"shard {self}: there are {total} {what}, and each shard needs one; take fewer shards")
        return range((self.number - 1) * total // self.of, self.number * total // self.of)
