"""The filter that keeps benchmarks' queries and documents out of mined pairs, and its report."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.ir.overlap import BenchmarkIndex, Checkable, Contamination, contaminated, joined, read_texts
from interank.mining.items import Item

logger = logging.getLogger(__name__)

FILE = "decontamination.json"

# Items checked at once, with their texts in memory.
_TOGETHER = 4096


class Gate:
    """A check of questions and documents against benchmarks, which remembers the removed ones.

    A question that a benchmark has is removed with its whole thread: its answers are also refused as documents of
    other questions.
    """

    def __init__(self, benchmarks: Sequence[Path], *, queries_alone: bool = False) -> None:
        """Index the benchmarks' texts.

        Args:
            benchmarks: Their folders.
            queries_alone: Whether to compare questions with queries only, for training and test sets that share their
                documents.

        Raises:
            InputError: A path is missing, or holds no benchmark's texts.
        """
        tasks = (texts for path in benchmarks for texts in read_texts(path))
        self.index = BenchmarkIndex(texts.queries_alone() if queries_alone else texts for texts in tasks)
        self._queries_alone = queries_alone
        self._contamination = Contamination.none()
        for checked in self.index.checked.values():
            logger.info(
                "%s: %d queries, %d documents; training data is checked against its %s",
                checked.name,
                checked.queries,
                checked.documents,
                checked.to_json()["checked_on"],
            )

    def __call__(self, items: Iterable[Item]) -> set[str]:
        """The ids of the items that must not be used."""
        stream = (item for item in items if item.kind == "question" or not self._queries_alone)
        removed: set[str] = set()
        while batch := list(islice(stream, _TOGETHER)):
            self._contamination = joined([self._contamination, contaminated(map(_checkable, batch), self.index)])
            removed |= {item.item_id for item in batch if self._contamination.is_removed(*_place(item))}
        return removed

    @property
    def against(self) -> str:
        """The benchmarks' names."""
        return ", ".join(self.index.checked)

    def report(self) -> dict[str, Any]:
        """The content of `decontamination.json`: checked benchmarks, removed items and remaining overlaps."""
        return {"benchmarks": self.index.report(), **self._contamination.to_json()}

    def summary(self) -> dict[str, Any]:
        """The counts for a manifest."""
        return {
            **({"compared_with": "queries alone"} if self._queries_alone else {}),
            "benchmarks": len(self.index.checked),
            "removed_questions": len(self._contamination.threads),
            "removed_documents": len(self._contamination.posts),
            "remaining_overlaps": len(self._contamination.remaining),
        }

    def write(self, file: Path) -> None:
        """Write the report."""
        text = json.dumps(self.report(), ensure_ascii=False, indent=1) + "\n"
        # Benchmarks' ids may hold characters that UTF-8 cannot write.
        file.write_text(plain_data.writable(text), encoding="utf-8")


def _checkable(item: Item) -> Checkable:
    site, name, thread = _place(item)
    return Checkable(site, name, item.kind, item.text, thread, item.url)


def _place(item: Item) -> tuple[str, str, str]:
    """The site, the post and the thread; a web page has no post id, and its address takes its place."""
    return item.site, item.post_id or item.url or item.item_id, item.thread_id
