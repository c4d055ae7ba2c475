"""A benchmark folder of two splits with one corpus, made of the rule's texts, and rankings of an evaluation on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interank.recipe import EvaluateRecipe
from interank.stages import evaluate
from tests.support import rule
from tests.support.benchmark import write_jsonl

SPLITS = {"dev": 3, "test": 4}
QUERIES = 6


def two_splits(benchmark: Path) -> Path:
    """Write the folder; each split has `QUERIES` questions of its own."""
    benchmark.mkdir()
    corpus = []
    for split, seed in SPLITS.items():
        examples = rule.examples(seed, queries=QUERIES, documents=6, split="validation")
        # One colour and animal may be asked twice; a place makes each question its own.
        texts = {e.query.query_id: f"{e.query.text} ({e.query.query_id})" for e in examples}
        corpus += [{"_id": e.document.doc_id, "text": e.document.text} for e in examples]
        write_jsonl(benchmark / f"queries.{split}.jsonl", [{"_id": name, "text": text} for name, text in texts.items()])
        lines = [f"{e.query.query_id}\t{e.document.doc_id}\t{int(e.judgment.relevance)}\n" for e in examples]
        (benchmark / f"qrels.{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    write_jsonl(benchmark / "corpus.jsonl", corpus)
    return benchmark


def evaluated(place: Path, name: str, **settings: Any) -> Path:
    """Evaluate on `place`'s benchmark, into a folder of that name beside it."""
    existing = settings.pop("existing", "refuse")
    given: dict[str, Any] = {"benchmark": place / "benchmark", "depth": 8, "max_reasoning_tokens": 8}
    recipe = EvaluateRecipe(stage="evaluate", **(given | settings))
    return evaluate.run(recipe, place / name, existing=existing).path


def rows(path: Path) -> dict[str, dict[str, Any]]:
    """By query the rows of a file of rankings."""
    return {row["query_id"]: row for row in map(json.loads, path.read_text("utf-8").splitlines())}
