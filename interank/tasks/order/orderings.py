"""orderings.jsonl: the lists of a judgments artifact, written by generate and read by distill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.errors import InputError
from interank.ir.trec import numbered_lines
from interank.judgments import json_object, read_judgments
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


def read_orderings(folder: Path, split: Split | None = None) -> list[ListExample]:
    """The lists of one split of a judgments artifact, or of all splits.

    Raises:
        InputError: The artifact has none, or a line is no list of its documents.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder} holds no {FILE}; {WITHOUT}")
    judged: dict[tuple[str, str], Example] = {
        (item.query.query_id, item.document.doc_id): item for item in read_judgments(folder)
    }
    examples = []
    for number, line in numbered_lines(path):
        try:
            example = _example(json_object(line), judged)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{path}:{number}: not an ordering ({type(error).__name__}: {error}); an object with "
                f"{', '.join(_COLUMNS)} of documents in judgments.jsonl is expected"
            ) from None
        if split is None or example.split == split:
            examples.append(example)
    return examples


def _example(row: Mapping[str, Any], judged: Mapping[tuple[str, str], Example]) -> ListExample:
    query_id, reasoning = plain_data.text(row["query_id"]), plain_data.text(row["reasoning"])
    doc_ids, ranking = _ids(row, "doc_ids"), _ids(row, "ranking")
    if len(set(doc_ids)) < len(doc_ids) or sorted(ranking) != sorted(doc_ids):
        raise ValueError("ranking does not hold each of doc_ids once")
    if row["split"] not in ("train", "validation"):
        raise ValueError(f"split is {plain_data.shown(row['split'])}, where train or validation is needed")
    items = [judged[query_id, doc_id] for doc_id in doc_ids]
    documents: tuple[Document, ...] = tuple(item.document for item in items)
    ordering = Ordering(tuple(doc_ids.index(doc_id) for doc_id in ranking), reasoning)
    return ListExample(items[0].query, documents, ordering, row["split"])


def _ids(row: Mapping[str, Any], name: str) -> list[str]:
    ids = row[name]
    if not isinstance(ids, list) or not ids:
        raise ValueError(f"{name} is {plain_data.shown(ids)}, where a list of ids is needed")
    return [plain_data.text(value) for value in ids]
