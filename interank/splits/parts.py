"""The files of a split: train as an artifact of the source's kind, and dev and test as benchmarks."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, RECIPE, Artifact, manifest_of
from interank.cards import dataset_card, save_card, values
from interank.imports.labels import CORPUS_FILE
from interank.judgments import INSTRUCTION, PARQUET, read_judgments, rewrite_judgments
from interank.ledger import read_rows, write_rows
from interank.mining.tables import QUESTIONS_FILE
from interank.splits.content import Content
from interank.splits.grouping import PARTS, Groups, group, share_out
from interank.types import Query

log = logging.getLogger(__name__)

# A teacher's other files beside the judgments, with a row for each question.
_BESIDE = ("queries.jsonl", "orderings.jsonl")


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """The options of a split."""

    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """The shares of train, dev and test."""
    validation: float = 0.1
    """The share of train's questions that distill uses for validation."""
    seed: int = 42


def number_of(parts: Mapping[str, str], part: str) -> int:
    """The number of a part's questions."""
    return sum(name == part for name in parts.values())


def write_train(
    folder: Path,
    content: Content,
    parts: Mapping[str, str],
    settings: SplitSettings,
    recipe: Mapping[str, Any],
) -> dict[str, int]:
    """Write the train part as an artifact of the source's kind, and return its counts."""
    folder, source = folder / "train", content.artifact
    folder.mkdir()
    query_ids = {name for name, part in parts.items() if part == "train"}
    if source.kind == "questions":
        site = source.manifest["site"]
        rows = [row for row in read_rows(source.path / QUESTIONS_FILE) if f"{site}/{row['question_id']}" in query_ids]
        write_rows(folder / QUESTIONS_FILE, rows)
        counts = {"questions": len(rows), "answers": sum(len(row["answers"]) for row in rows)}
    else:
        validation = _validation(content, query_ids, settings)
        rows = rewrite_judgments(source.path, folder, {name: _split(name, validation) for name in query_ids})
        for name in _BESIDE:
            if (source.path / name).is_file():
                own = [row for row in read_rows(source.path / name) if row["query_id"] in query_ids]
                write_rows(folder / name, [{**row, "split": _split(row["query_id"], validation)} for row in own])
        grades = Counter(row["relevance"] for row in rows)
        counts = {"judgments": len(rows), "questions": len(query_ids), "validation_questions": len(validation)}
        counts |= {f"relevance_{grade}": grades[grade] for grade in (0, 1, 2)}
    (folder / RECIPE).write_text(json.dumps(recipe, indent=2, ensure_ascii=False) + "\n", "utf-8")
    notes = _notes(source)
    if "labels" in notes:
        notes["labels"] = {**notes["labels"], "explained": sum(bool(row["reasoning"]) for row in rows)}
    # The source is no input in the manifest: models trained on this part have seen nothing of the other parts.
    notes["split_of"] = {"kind": source.kind, "digest": source.digest, "part": "train"}
    manifest = manifest_of(folder, source.kind, {}, settings.seed, {"counts": counts, **notes})
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return {f"train_{name}": number for name, number in counts.items()}


def _notes(source: Artifact) -> dict[str, Any]:
    """The entries of the source's manifest on how it was made."""
    own = {"kind", "format", "interank", "seed", "inputs", "counts", "files"}
    return {name: value for name, value in source.manifest.items() if name not in own}


def _validation(content: Content, query_ids: Iterable[str], settings: SplitSettings) -> set[str]:
    """Train's validation questions: the source's own, or else a new draw of whole groups."""
    examples = read_judgments(content.artifact.path, "validation")
    names = set(query_ids)
    if existing := {example.query.query_id for example in examples} & names:
        return existing
    queries = [query for query in content.queries if query.query_id in names]
    groups = group(queries, content.threads, settings.seed)
    if not settings.validation or len(groups.members) < 2:
        return set()
    shares = (1 - settings.validation, settings.validation)
    return {name for name, part in share_out(groups, shares, ("train", "validation")).items() if part == "validation"}


def _split(name: str, validation: set[str]) -> str:
    return "validation" if name in validation else "train"


def write_benchmarks(folder: Path, content: Content, parts: Mapping[str, str]) -> dict[str, int]:
    """Write the corpus, and the queries and qrels of dev and test, in BEIR's layout; return their counts."""
    corpus = [{"_id": item.doc_id, "title": item.title, "text": item.text} for item in content.documents.values()]
    write_rows(folder / CORPUS_FILE, corpus)
    counts = {"documents": len(corpus)}
    for part in PARTS[1:]:
        # A ranking cannot be measured on a question without a relevant document.
        queries = [
            query for query in content.queries if parts[query.query_id] == part and _has_relevant(content, query)
        ]
        counts[f"{part}_questions"] = len(queries)
        if not queries:
            if number_of(parts, part):
                log.warning("no question of %s has a document of grade 1 or 2, so it gets no benchmark", part)
            continue
        write_rows(folder / f"queries.{part}.jsonl", map(_query_row, queries))
        lines = ["query-id\tcorpus-id\tscore\n"]
        lines += [
            f"{query.query_id}\t{doc_id}\t{grade}\n"
            for query in queries
            for doc_id, grade in content.grades[query.query_id].items()
        ]
        (folder / f"qrels.{part}.tsv").write_text("".join(lines), "utf-8")
    return counts


def _query_row(query: Query) -> dict[str, str]:
    row = {"_id": query.query_id, "text": query.text}
    return row if query.instruction is None else {**row, INSTRUCTION: query.instruction}


def _has_relevant(content: Content, query: Query) -> bool:
    return any(content.grades.get(query.query_id, {}).values())


def write_card(folder: Path, content: Content, counts: Mapping[str, int], groups: Groups) -> None:
    """Write the card of all parts."""
    kind = content.artifact.kind
    file = f"train/{QUESTIONS_FILE}" if kind == "questions" else f"train/{PARQUET['train']}"
    sections = [
        f"# {content.artifact.path.resolve().name}, split by question",
        f"`train/` holds {kind} to train on. `corpus.jsonl`, `queries.dev.jsonl`, `qrels.dev.tsv` and the same files "
        "for test are benchmarks in BEIR's layout; all parts share the corpus.",
        f"Questions of one thread, and near-duplicates, are in the same part: {groups.joined} of them are in "
        f"{sum(len(group) > 1 for group in groups.members)} groups of several, the largest of {groups.largest}.",
        "## Counts",
        values(counts),
    ]
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": file}]}]
    save_card(dataset_card(sections, configs=configs), folder)
