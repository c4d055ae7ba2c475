"""The index of the benchmarks that training data is held against: their queries, answers, documents and names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from interank.ir.overlap.index import CHUNK, QueryIndex, TextIndex, batches
from interank.ir.overlap.posts import PostName, page_name, post_named, posts_in, site_name
from interank.ir.overlap.texts import BenchmarkDocument, BenchmarkQuery, BenchmarkTexts

Part = Literal["query", "answer", "document", "mention"]

# Shorter documents ("See also") equal others by chance.
_LEAST_DOCUMENT_WORDS = 5


class Target(NamedTuple):
    """What of a benchmark a text can overlap with; `item_id` is a query's id, or a document's."""

    benchmark: str
    task: str
    part: Part
    item_id: str


class Reference(NamedTuple):
    """A benchmark's naming of a post or a page."""

    target: Target
    how: Literal["post id", "url"]


@dataclass(slots=True)
class Checked:
    """What of a benchmark is indexed."""

    name: str
    tasks: list[str] = field(default_factory=list)
    queries: int = 0
    documents: int = 0
    with_documents: list[str] = field(default_factory=list)
    """The tasks whose documents are indexed."""

    def to_json(self) -> dict[str, Any]:
        """The entry for a report."""
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
    """Documents of a task: all, or a chunk of many."""

    texts: TextIndex
    targets: Sequence[Target]


class BenchmarkIndex:
    """The texts and names of benchmarks, to be asked by `contaminated`.

    Takes 1.7 kB a document of 100 or 200 words (2.3 kB at most, ids included) and some 5 kB a query of 100 words.
    """

    def __init__(self, benchmarks: Iterable[BenchmarkTexts]) -> None:
        self.checked: dict[str, Checked] = {}
        self.references: dict[PostName | str, list[Reference]] = {}
        self.query_targets: list[Target] = []
        self.answer_targets: list[Target] = []
        self.documents: list[DocumentIndex] = []
        queries: list[str] = []
        answers: list[str] = []
        for texts in benchmarks:
            checked = self.checked.setdefault(texts.name, Checked(texts.name))
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
        """What the larger arrays take in memory."""
        return self.queries.nbytes + self.answers.nbytes + sum(each.texts.nbytes for each in self.documents)

    def report(self) -> list[dict[str, Any]]:
        """What was indexed, a benchmark an entry."""
        return [checked.to_json() for checked in self.checked.values()]

    def _add_documents(self, texts: BenchmarkTexts, documents: Iterable[BenchmarkDocument]) -> int:
        """Index the documents, a chunk at a time; tells how many there are."""
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
        # What an answer links to is related, which is less than part of the benchmark.
        for post in posts_in(query.answer):
            self._add(post, Reference(target._replace(part="mention"), "url"))

    def _refer(self, target: Target, identifier: str, names: Sequence[str], site: str) -> None:
        """Register what an id and addresses name."""
        if site and identifier.isascii() and identifier.isdigit():
            self._add(PostName(site_name(site), str(int(identifier))), Reference(target, "post id"))
        for name in (identifier, *names):
            is_address = "//" in name or "/q" in name or "/a/" in name
            posts = post_named(name)
            # The last is the most exact: an answer's address names its question, too.
            for post in posts[-1:] if target.part == "document" else posts:
                self._add(post, Reference(target, "url" if is_address else "post id"))
            page = None if posts else page_name(name)
            if page:
                self._add(page, Reference(target, "url"))

    def _add(self, name: PostName | str, reference: Reference) -> None:
        known = self.references.setdefault(name, [])
        if reference not in known:
            known.append(reference)
