"""orderings.jsonl: the lists of a judgments artifact, written by generate and read by distill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.trec import numbered_lines
from interank.judged_questions import JudgedQuestions
from interank.judgments import json_object
from interank.ledger import write_rows
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.types import Document, Example, Split

FILE = "orderings.jsonl"
WITHOUT = (
    "expected judgments with orderings; generate them with teacher.orderings, or give lists in DeAR-COT's layout as "
    "dear_cot"
)
REJECTED_FILE = "rejected_orderings.jsonl"
_COLUMNS = ("query_id", "split", "doc_ids", "ranking", "reasoning", "ndcg")


def write_orderings(orderings: Iterable[tuple[ListExample, float]], folder: Path) -> None:
    """Write each list with its nDCG by the judgments; `judgments.jsonl` has the texts, under the same ids."""
    write_rows(folder / FILE, (_row(example, ndcg) for example, ndcg in orderings))


def _row(example: ListExample, ndcg: float) -> dict[str, Any]:
    doc_ids = [document.doc_id for document in example.documents]
    return {
        "query_id": example.query.query_id,
        "split": example.split,
        "doc_ids": doc_ids,
        "ranking": [doc_ids[position] for position in example.ordering.positions],
        "reasoning": example.ordering.reasoning,
        "ndcg": round(ndcg, 4),
    }


class Orderings:
    """The lists of one split of a judgments artifact, or of all splits, read from disk at each iteration.

    One list is in memory at a time with the judgments of its query; all judgments are, if the lists' queries come in
    another order than the judgments'.
    """

    def __init__(self, folder: Path, split: Split | None = None) -> None:
        """Take an artifact's folder.

        Raises:
            InputError: The artifact has no lists.
        """
        self._path, self._split = folder / FILE, split
        if not self._path.is_file():
            raise InputError(f"{folder} holds no {FILE}; {WITHOUT}")
        self._questions = JudgedQuestions(folder)

    def __iter__(self) -> Iterator[ListExample]:
        """Yield the lists in file order.

        Raises:
            InputError: A line is no list of the artifact's documents, or no judgment.
        """
        judged = self._one_by_one() if self._is_in_order else self._all()
        for number, line in numbered_lines(self._path):
            with self._told(number):
                example = _example(json_object(line), judged)
            if self._split is None or example.split == self._split:
                yield example

    @cached_property
    def _is_in_order(self) -> bool:
        """Whether the lists' queries come in the order of the judgments' questions, perhaps without some of them."""
        asked = (name for name, _ in groupby(self._query_ids()))
        judged = (items[0].query.query_id for items in self._questions)
        return all(name in judged for name in asked)

    def _query_ids(self) -> Iterator[str]:
        for number, line in numbered_lines(self._path):
            with self._told(number):
                name = plain_data.text(json_object(line)["query_id"])
            yield name

    def _one_by_one(self) -> _Judged:
        """Looks up the judgments of a query, which comes no earlier than the one asked for before."""
        questions = map(_by_document, self._questions)
        name, documents = "", dict[str, Example]()

        def judged(query_id: str) -> Mapping[str, Example]:
            nonlocal name, documents
            while name != query_id or not documents:
                name, documents = next(questions)
            return documents

        return judged

    def _all(self) -> _Judged:
        """Looks up the judgments of any query."""
        return dict(map(_by_document, self._questions)).__getitem__

    @contextmanager
    def _told(self, number: int) -> Iterator[None]:
        """Make a fault of a line an InputError."""
        try:
            yield
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self._path}:{number}: not an ordering ({type(error).__name__}: {error}); an object with "
                f"{', '.join(_COLUMNS)} of documents in judgments.jsonl is expected"
            ) from None


_Judged = Callable[[str], Mapping[str, Example]]


def _by_document(items: Sequence[Example]) -> tuple[str, dict[str, Example]]:
    """A question's id, and its judgments by document."""
    return items[0].query.query_id, {item.document.doc_id: item for item in items}


def _example(row: Mapping[str, Any], judged: _Judged) -> ListExample:
    query_id, reasoning = plain_data.text(row["query_id"]), plain_data.text(row["reasoning"])
    doc_ids, ranking = _ids(row, "doc_ids"), _ids(row, "ranking")
    if len(set(doc_ids)) < len(doc_ids) or sorted(ranking) != sorted(doc_ids):
        raise ValueError("ranking does not hold each of doc_ids once")
    if row["split"] not in ("train", "validation"):
        raise ValueError(f"split is {plain_data.shown(row['split'])}, where train or validation is needed")
    found = judged(query_id)
    items = [found[doc_id] for doc_id in doc_ids]
    documents: tuple[Document, ...] = tuple(item.document for item in items)
    ordering = Ordering(tuple(doc_ids.index(doc_id) for doc_id in ranking), reasoning)
    return ListExample(items[0].query, documents, ordering, row["split"])


def _ids(row: Mapping[str, Any], name: str) -> list[str]:
    ids = row[name]
    if not isinstance(ids, list) or not ids:
        raise ValueError(f"{name} is {plain_data.shown(ids)}, where a list of ids is needed")
    return [plain_data.text(value) for value in ids]
