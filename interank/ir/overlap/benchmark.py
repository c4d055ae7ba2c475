"""The index of the benchmarks that training data is checked against: their queries, answers, documents and names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from interank.ir.overlap.index import CHUNK, QueryIndex, TextIndex, batches
from interank.ir.overlap.posts import PostName, page_name, post_named, posts_in, site_name
from interank.ir.overlap.texts import BenchmarkDocument, BenchmarkQuery, BenchmarkTexts

Part = Literal["query", "answer", "document", "mention"]

# Shorter documents ("See also") equal other texts by chance.
_LEAST_DOCUMENT_WORDS = 5


class Target(NamedTuple):
    """A part of a benchmark that a text can overlap with; `item_id` is the id of a query or a document."""

    benchmark: str
    task: str
    part: Part
    item_id: str


class Reference(NamedTuple):
    """A benchmark's reference to a post or a page by its id or address."""

    target: Target
    how: Literal["post id", "url"]


@dataclass(slots=True)
class BenchmarkCounts:
    """Counts of a benchmark's indexed texts, for reports."""

    name: str
    tasks: list[str] = field(default_factory=list)
    queries: int = 0
    documents: int = 0
    with_documents: list[str] = field(default_factory=list)
    """The tasks whose documents are indexed."""

    def to_json(self) -> dict[str, Any]:
        """The report's entry on the benchmark."""
        entry: dict[str, Any] = {
            "name": self.name,
            "tasks": self.tasks,
            "queries": self.queries,
            "documents": self.documents,
            "checked_on": "queries and documents" if self.with_documents else "queries",
        }
        without = [task for task in self.tasks if task not in self.with_documents]
        if self.with_documents and without:
            entry["tasks_on_queries_only"] = without
        return entry


class DocumentIndex(NamedTuple):
    """The index of a task's documents, or of a chunk of them."""

    texts: TextIndex
    targets: Sequence[Target]


class BenchmarkIndex:
    """The texts and names of benchmarks, searched by `contaminated`.

    It takes 1.7 kB for a document of 100 or 200 words (2.3 kB at most, ids included), and 5 kB for a query of 100.
    """

    def __init__(self, benchmarks: Iterable[BenchmarkTexts]) -> None:
        self.checked: dict[str, BenchmarkCounts] = {}
        self.references: dict[PostName | str, list[Reference]] = {}
        self.query_targets: list[Target] = []
        self.answer_targets: list[Target] = []
        self.documents: list[DocumentIndex] = []
        queries: list[str] = []
        answers: list[str] = []
        for texts in benchmarks:
            checked = self.checked.setdefault(texts.name, BenchmarkCounts(texts.name))
            if texts.task not in checked.tasks:
                checked.tasks.append(texts.task)
            checked.queries += len(texts.queries)
            for query in texts.queries:
                target = Target(texts.name, texts.task, "query", query.query_id)
                self.query_targets.append(target)
                queries.append(query.text)
                if query.answer:
                    self.answer_targets.append(target._replace(part="answer"))
                    answers.append(query.answer)
                self._refer_query(target, query, texts.site)
            if texts.documents is not None:
                count = self._add_documents(texts, texts.documents())
                checked.documents += count
                if count and texts.task not in checked.with_documents:
                    checked.with_documents.append(texts.task)
        self.queries = QueryIndex(queries)
        self.answers = TextIndex(batches(answers), least_words=_LEAST_DOCUMENT_WORDS)

    @property
    def nbytes(self) -> int:
        """The size of the larger arrays in memory."""
        return self.queries.nbytes + self.answers.nbytes + sum(each.texts.nbytes for each in self.documents)

    def report(self) -> list[dict[str, Any]]:
        """Counts of the indexed texts, one entry for each benchmark."""
        return [checked.to_json() for checked in self.checked.values()]

    def _add_documents(self, texts: BenchmarkTexts, documents: Iterable[BenchmarkDocument]) -> int:
        """Index the documents, chunk by chunk, and return their number."""
        count = 0
        for chunk in batches(documents, CHUNK):
            targets = [Target(texts.name, texts.task, "document", document.doc_id) for document in chunk]
            for target, document in zip(targets, chunk, strict=True):
                self._refer(target, document.doc_id, document.names, texts.site)
            index = TextIndex(
                batches(document.text for document in chunk), least_words=_LEAST_DOCUMENT_WORDS, sampled=True
            )
            self.documents.append(DocumentIndex(index, targets))
            count += len(chunk)
        return count

    def _refer_query(self, target: Target, query: BenchmarkQuery, site: str) -> None:
        self._refer(target, query.query_id, query.names, site)
        for post in posts_in(query.text):
            self._add(post, Reference(target, "url"))
        for doc_id in query.doc_ids:
            self._refer(target._replace(part="document", item_id=doc_id), doc_id, (), "")
        # A post that an answer links to is related to the query, but not part of the benchmark.
        for post in posts_in(query.answer):
            self._add(post, Reference(target._replace(part="mention"), "url"))

    def _refer(self, target: Target, identifier: str, names: Sequence[str], site: str) -> None:
        """Register the posts and pages that an id and addresses name."""
        if site and identifier.isascii() and identifier.isdigit():
            self._add(PostName(site_name(site), str(int(identifier))), Reference(target, "post id"))
        for name in (identifier, *names):
            is_address = "//" in name or "/q" in name or "/a/" in name
            posts = post_named(name)
            # The last post is the most exact: an answer's address also names its question.
            for post in posts[-1:] if target.part == "document" else posts:
                self._add(post, Reference(target, "url" if is_address else "post id"))
            page = None if posts else page_name(name)
            if page:
                self._add(page, Reference(target, "url"))

    def _add(self, name: PostName | str, reference: Reference) -> None:
        known = self.references.setdefault(name, [])
        if reference not in known:
            known.append(reference)
