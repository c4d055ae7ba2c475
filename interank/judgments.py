"""The rows of a judgments artifact: written by generate, read by distill and rl."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.types import Document, Example, Judgment, Query, Relevance, Source, Split

FILE = "judgments.jsonl"
PARQUET = "judgments.parquet"
COLUMNS = (
    "query_id",
    "doc_id",
    "query",
    "document",
    "reasoning",
    "relevance",
    "probabilities",
    "split",
    "site",
    "post_id",
    "url",
    "author",
    "licence",
)


def write_judgments(examples: Sequence[Example], folder: Path) -> None:
    """Write the same rows as JSONL and as Parquet."""
    import pyarrow
    import pyarrow.parquet

    rows = [_row(example) for example in examples]
    with (folder / FILE).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text, number = pyarrow.string(), pyarrow.float64()
    types = {"relevance": pyarrow.int64(), "probabilities": pyarrow.list_(number)}
    schema = pyarrow.schema([(name, types.get(name, text)) for name in COLUMNS])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), folder / PARQUET)


def read_judgments(folder: Path, split: Split | None = None) -> list[Example]:
    """The judgments of one split, or of all.

    Raises:
        InputError: A line is no judgment; says which and what it lacks.
    """
    path = folder / FILE
    examples = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                example = _example(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}:{number}: not a judgment ({type(error).__name__}: {error}); "
                    f"an object with {', '.join(COLUMNS)} is expected"
                ) from None
            if split is None or example.split == split:
                examples.append(example)
    return examples


def _row(example: Example) -> dict[str, Any]:
    source = example.source
    return {
        "query_id": example.query.query_id,
        "doc_id": example.document.doc_id,
        "query": example.query.text,
        "document": example.document.full_text,
        "reasoning": example.judgment.reasoning,
        "relevance": int(example.judgment.relevance),
        "probabilities": list(example.probabilities) if example.probabilities else None,
        "split": example.split,
        "site": source.site,
        "post_id": source.post_id,
        "url": source.url,
        "author": source.author,
        "licence": source.licence,
    }


def _example(row: dict[str, Any]) -> Example:
    probabilities = row["probabilities"]
    if probabilities is not None:
        irrelevant, partial, relevant = probabilities
        probabilities = (float(irrelevant), float(partial), float(relevant))
    if row["split"] not in ("train", "validation"):
        raise ValueError(f"split is {row['split']!r}, train or validation is expected")
    return Example(
        Query(row["query_id"], row["query"]),
        Document(row["doc_id"], row["document"]),
        Judgment(row["reasoning"], Relevance(row["relevance"])),
        probabilities,
        row["split"],
        Source(row["site"], row["post_id"], row["url"], row["author"], row["licence"]),
    )
