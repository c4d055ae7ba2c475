"""A small benchmark folder in BEIR's layout, made of the rule's texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support import rule


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def benchmark_folder(folder: Path, *, queries: int = 3, documents: int = 5) -> Path:
    """Queries that each have `documents` judged documents; the corpus is that of all queries."""
    examples = rule.examples(3, queries=queries, documents=documents, split="validation")
    folder.mkdir()
    texts = {example.query.query_id: example.query.text for example in examples}
    write_jsonl(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in texts.items()])
    write_jsonl(folder / "corpus.jsonl", [{"_id": e.document.doc_id, "text": e.document.text} for e in examples])
    lines = [f"{e.query.query_id}\t{e.document.doc_id}\t{int(e.judgment.relevance)}\n" for e in examples]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder
