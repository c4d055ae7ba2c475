"""How far judging has come, told in an output's work folder for whoever waits for several of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from interank.artifact import MANIFEST, open_artifact
from interank.outputs import Partial
from interank.progress import shown
from interank.recipe import GenerateRecipe
from interank.teacher.budget import Spent, dollars

_FILE = "headway.json"


@dataclass(frozen=True, slots=True)
class Headway:
    """How many of an output's pairs were gone through, and the tokens of all tries so far."""

    done: int = 0
    pairs: int | None = None
    """Those of the whole output; None where nothing has been told."""
    read: int = 0
    written: int = 0


def tell(work: Path, done: int, pairs: int, spent: Spent) -> None:
    """Note it in a work folder."""
    told = {"done": done, "pairs": pairs, "read": spent.read, "written": spent.written}
    (work / _FILE).write_text(json.dumps(told), "utf-8")


def headway(out: Path) -> Headway:
    """What an output tells, finished or not."""
    if (out / MANIFEST).is_file():
        counts = json.loads((out / MANIFEST).read_text("utf-8"))["counts"]
        cost = json.loads((out / "cost.json").read_text("utf-8"))
        pairs = sum(counts[name] for name in ("judgments", "rejected", "unanswered"))
        return Headway(pairs, pairs, cost["tokens_read"], cost["tokens_written"])
    # It is written over as one looks, and gone when the output is whole.
    with suppress(OSError, ValueError):
        return Headway(**json.loads((Partial(out).work / _FILE).read_text("utf-8")))
    return Headway()


class Bar:
    """Pairs of all shards, with the time left, and what they have cost of what they will."""

    def __init__(self, recipe: GenerateRecipe, places: Sequence[Path]) -> None:
        assert recipe.pairs is not None
        self._price = recipe.teacher.price
        self._pairs = int(open_artifact(recipe.pairs, "pairs").manifest["counts"]["pairs"])
        self._places = places

    def __enter__(self) -> Bar:
        self._bar = tqdm(
            desc="generate", unit=" pairs", total=self._pairs, disable=not shown(), dynamic_ncols=True, smoothing=0
        )
        self.look()
        # What an earlier try did tells nothing of how fast this one is.
        self._bar.initial = self._bar.n
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def look(self) -> None:
        """Show how far the shards have come."""
        if self._bar.disable:
            return
        found = [headway(place) for place in self._places]
        untold = self._pairs // len(found)
        self._bar.total = sum(untold if each.pairs is None else each.pairs for each in found)
        self._bar.n = sum(each.done for each in found)
        read, written = sum(each.read for each in found), sum(each.written for each in found)
        told = f"{read + written} tokens"
        paid = dollars(read, written, self._price)
        if paid is not None and self._bar.n:
            told = f"{paid:.2f} of about {paid * self._bar.total / self._bar.n:.2f} dollars, {told}"
        self._bar.set_postfix_str(told)
