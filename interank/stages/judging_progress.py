"""Progress of judging, noted in an output's work folder and shown as one bar for several shards."""

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
from interank.stages.parts import PARTS
from interank.teacher.budget import Spent, dollars

_FILE = "headway.json"


@dataclass(frozen=True, slots=True)
class JudgingProgress:
    """The number of an output's pairs that are done, and the tokens of all runs so far."""

    done: int = 0
    pairs: int | None = None
    """The pairs of the whole output; None where nothing has been noted yet."""
    read: int = 0
    written: int = 0


def tell(work: Path, done: int, pairs: int, spent: Spent) -> None:
    """Write the progress to a work folder."""
    row = {"done": done, "pairs": pairs, "read": spent.read, "written": spent.written}
    (work / _FILE).write_text(json.dumps(row), "utf-8")


def progress_of(out: Path) -> JudgingProgress:
    """The progress of an output, finished or not."""
    if (out / MANIFEST).is_file():
        counts = json.loads((out / MANIFEST).read_text("utf-8"))["counts"]
        cost = json.loads((out / "cost.json").read_text("utf-8"))
        pairs = sum(counts[name] for name in ("judgments", "rejected", "unanswered"))
        return JudgingProgress(pairs, pairs, cost["tokens_read"], cost["tokens_written"])
    work = Partial(out).work
    # A file may be half written, or gone because the output was just finished.
    with suppress(OSError, ValueError):
        if (work / PARTS).is_dir():
            # Each part is an output of its own, finished or not.
            names = {path.name.removeprefix(".").removesuffix(".partial") for path in (work / PARTS).iterdir()}
            parts = [progress_of(work / PARTS / name) for name in names]
            return JudgingProgress(
                done=sum(part.done for part in parts),
                read=sum(part.read for part in parts),
                written=sum(part.written for part in parts),
            )
        return JudgingProgress(**json.loads((work / _FILE).read_text("utf-8")))
    return JudgingProgress()


class Bar:
    """A bar of the pairs of all shards, with the time left, and the cost so far and in all."""

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
        # An earlier run's pairs say nothing about this run's pace.
        self._bar.initial = self._bar.n
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def look(self) -> None:
        """Read the shards' progress and show it."""
        if self._bar.disable:
            return
        shards = [progress_of(place) for place in self._places]
        share = self._pairs // len(shards)
        self._bar.total = sum(share if each.pairs is None else each.pairs for each in shards)
        self._bar.n = sum(each.done for each in shards)
        read, written = sum(each.read for each in shards), sum(each.written for each in shards)
        note = f"{read + written} tokens"
        paid = dollars(read, written, self._price)
        if paid is not None and self._bar.n:
            note = f"{paid:.2f} of about {paid * self._bar.total / self._bar.n:.2f} dollars, {note}"
        self._bar.set_postfix_str(note)
