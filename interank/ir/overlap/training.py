"""The overlap between a model's training data and the benchmark that it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interank.ir.overlap.benchmark import BenchmarkCounts, BenchmarkIndex
from interank.ir.overlap.matching import Checkable, Contamination, Overlap, contaminated
from interank.types import Example


@dataclass(frozen=True, slots=True)
class TrainingOverlap:
    """The result of checking training queries and documents against benchmarks."""

    benchmarks: tuple[BenchmarkCounts, ...]
    training_queries: int
    training_documents: int
    by_queries: Contamination
    by_documents: Contamination

    @property
    def is_clean(self) -> bool:
        """Whether the training data has nothing that mining would have removed."""
        return not self.by_queries.removed and not self.by_documents.removed

    def summary(self) -> str:
        """A sentence for each benchmark, to be shown next to a score."""
        return "\n".join(self._sentence(checked) for checked in self.benchmarks)

    def to_json(self) -> dict[str, Any]:
        """Counts by benchmark, and every overlap."""
        return {
            "training_queries": self.training_queries,
            "training_documents": self.training_documents,
            "benchmarks": [{**checked.to_json(), **self._counts(checked.name)} for checked in self.benchmarks],
            "queries": self.by_queries.to_json(),
            "documents": self.by_documents.to_json(),
        }

    def _counts(self, name: str) -> dict[str, int]:
        """The numbers of a benchmark's queries and documents that the training data contains, or overlaps with less."""
        removed = [*self.by_queries.removed, *self.by_documents.removed]
        remaining = [*self.by_queries.remaining, *self.by_documents.remaining]
        contained = {part: _items(removed, name, part) for part in ("query", "document")}
        shared = {part: _items(remaining, name, part) - contained[part] for part in ("query", "document")}
        return {
            "queries_contained": len(contained["query"]),
            "documents_contained": len(contained["document"]),
            "queries_shared_less": len(shared["query"]),
            "documents_shared_less": len(shared["document"]),
        }

    def _sentence(self, checked: BenchmarkCounts) -> str:
        counts = self._counts(checked.name)
        seen = _part(counts, "queries", checked.queries)
        if checked.with_documents:
            seen += f" and {_part(counts, 'documents', checked.documents)}"
        less = [
            f"{number} more {one if number == 1 else many}"
            for one, many in (("query", "queries"), ("document", "documents"))
            if (number := counts[f"{many}_shared_less"])
        ]
        shared = f"; some words of {' and '.join(less)} were, too" if less else ""
        absent = "" if checked.with_documents else "; the test documents were not at hand"
        return f"{checked.name}: {seen} were seen in training{shared}{absent}"


def training_overlap(examples: Iterable[Example], index: BenchmarkIndex) -> TrainingOverlap:
    """Check each query and each document of a judgments artifact against benchmarks, once.

    A post's thread is not known here, so each text is checked by itself. A query's id is read as `site/post id`; a
    document's site and post id are those of its source.
    """
    queries: dict[str, Checkable] = {}
    documents: dict[str, Checkable] = {}
    for example in examples:
        query, document, source = example.query, example.document, example.source
        site, _, post_id = query.query_id.rpartition("/")
        queries.setdefault(query.query_id, Checkable(site, post_id, "question", query.text, post_id))
        documents.setdefault(
            document.doc_id,
            Checkable(source.site, source.post_id or document.doc_id, "document", document.full_text, url=source.url),
        )
    return TrainingOverlap(
        tuple(index.checked.values()),
        len(queries),
        len(documents),
        contaminated(queries.values(), index),
        contaminated(documents.values(), index),
    )


def _items(overlaps: Iterable[Overlap], name: str, part: str) -> set[tuple[str, str]]:
    """The ids of a benchmark's queries or documents among the overlaps; an answer counts as its query."""
    return {
        (overlap.target.task, overlap.target.item_id)
        for overlap in overlaps
        if overlap.target.benchmark == name
        and ("query" if overlap.target.part == "answer" else overlap.target.part) == part
    }


def _part(counts: dict[str, int], noun: str, total: int) -> str:
    return f"{counts[f'{noun}_contained']} of {total} test {noun}"
