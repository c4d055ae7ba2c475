"""Keeps what benchmarks test out of what is mined, and reports what was found."""

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

# Items looked at together; their texts are in memory at once.
_TOGETHER = 4096


class Gate:
    """What `mine` asks whether it may use a question or a document; it remembers what it turned away.

    A question that a benchmark holds takes its whole thread along: its answers are turned away too, for whatever
    question they are asked for.
    """

    def __init__(self, benchmarks: Sequence[Path], *, queries_alone: bool = False) -> None:
        """Index the benchmarks' texts.

        Args:
            benchmarks: Their folders.
            queries_alone: Whether questions are held against queries and nothing else is looked at, for training and
                test that share their documents.

        Raises:
            InputError: A path is missing, or holds no benchmark's texts.
        """
        read = (texts for path in benchmarks for texts in read_texts(path))
        self.index = BenchmarkIndex(texts.queries_alone() if queries_alone else texts for texts in read)
        self._queries_alone = queries_alone
        self._found = Contamination.none()
        for checked in self.index.checked.values():
            logger.info(
                "%s: %d queries, %d documents; training data is checked on its %s",
                checked.name,
                checked.queries,
                checked.documents,
                checked.to_json()["checked_on"],
            )

    def __call__(self, items: Iterable[Item]) -> set[str]:
        """The ids of those items that must not be used."""
        stream = (item for item in items if item.kind == "question" or not self._queries_alone)
        removed: set[str] = set()
        while together := list(islice(stream, _TOGETHER)):
            self._found = joined([self._found, contaminated(map(_checkable, together), self.index)])
            removed |= {item.item_id for item in together if self._found.is_removed(*_place(item))}
        return removed

    @property
    def against(self) -> str:
        """The benchmarks' names."""
        return ", ".join(self.index.checked)

    def report(self) -> dict[str, Any]:
        """What `decontamination.json` says: what was checked, what was removed, and what overlap remains."""
        return {"benchmarks": self.index.report(), **self._found.to_json()}

    def summary(self) -> dict[str, Any]:
        """The counts that stand in a manifest."""
        return {
            **({"compared_with": "queries alone"} if self._queries_alone else {}),
            "benchmarks": len(self.index.checked),
            "removed_questions": len(self._found.threads),
            "removed_documents": len(self._found.posts),
            "remaining_overlaps": len(self._found.remaining),
        }

    def write(self, file: Path) -> None:
        """Write the report."""
        text = json.dumps(self.report(), ensure_ascii=False, indent=1) + "\n"
        # Benchmarks' ids may hold what no file can.
        file.write_text(plain_data.writable(text), encoding="utf-8")


def _checkable(item: Item) -> Checkable:
    site, name, thread = _place(item)
    return Checkable(site, name, item.kind, item.text, thread, item.url)


def _place(item: Item) -> tuple[str, str, str]:
    """The site, the post and the thread; a page from elsewhere has no number and is known by its address."""
    return item.site, item.post_id or item.url or item.item_id, item.thread_id
