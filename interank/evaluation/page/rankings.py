"""Data of the page's ranking browser: each query's documents with every system's order and grades."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain, islice
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.explanation_marks import MARKS, described
from interank.evaluation.page.claim import best_system
from interank.evaluation.page.packing import Block, Texts, pack_texts, packed, packed_parts
from interank.evaluation.rankings import Evaluation
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, Results
from interank.ir.measures import judged_by_query
from interank.types import Query, Run

# Ranked documents on a page; the more queries, the fewer documents of each are shown.
_SHOWN_IN_ALL = 200_000
_LEAST, _MOST = 10, 100
# Queries in a block, which the browser unpacks when it shows one of them.
_TOGETHER = 32
# Bytes of all blocks: the page has 30 MB, and plots and tables need the rest.
_BUDGET = 28_000_000

Values = Mapping[tuple[str, str], Mapping[str, Any]]
"""The rows of `per_query.jsonl` by task and query id."""


def browser_blocks(evaluation: Evaluation, results: Results, measure: str) -> tuple[list[Block], Texts]:
    """The blocks of index and rankings, and the texts."""
    count = sum(len(task.queries) for task in evaluation.tasks)
    shown = max(_LEAST, min(_MOST, _SHOWN_IN_ALL // count))
    values = {(row["task"], row["query_id"]): row for row in results.per_query}
    texts = _Collected()
    queries, rows = [], []
    for place, task in enumerate(evaluation.tasks):
        gold = judged_by_query(task.qrels)
        for query in task.queries:
            judged = gold.get(query.query_id, {})
            queries.append([place, *_about(evaluation, task, query, values, measure)])
            rows.append(_rankings(evaluation, task, query, judged, texts, shown))
    starts = range(0, len(rows), _TOGETHER)
    blocks = packed_parts("rankings", [slice(start, start + _TOGETHER) for start in starts], rows.__getitem__)
    packed_texts = pack_texts(texts.texts, _BUDGET - sum(len(block.content) for block in blocks))
    index = {
        "measure": measure,
        "tasks": [task.name for task in evaluation.tasks],
        "systems": [_system(name, evaluation) for name in evaluation.runs],
        "best": list(evaluation.runs).index(best_system(results, list(evaluation.runs), measure) or FIRST_STAGE),
        "together": _TOGETHER,
        "shown": shown,
        "starts": packed_texts.starts,
        "queries": queries,
    }
    return [packed("index", index), *blocks], packed_texts


class _Collected:
    """Document texts without duplicates, in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, dict[str, int]] = {}

    def numbers(self, task: Task, doc_ids: Collection[str]) -> list[int | None]:
        """The indices of the documents' texts; None for a document without text."""
        known, corpus = self._numbers.setdefault(task.name, {}), task.corpus or {}
        for doc_id in doc_ids:
            if doc_id not in known and doc_id in corpus:
                known[doc_id] = len(self.texts)
                self.texts.append(corpus[doc_id].full_text)
        return list(map(known.get, doc_ids))


def _system(name: str, evaluation: Evaluation) -> dict[str, Any]:
    kind = "reranker" if name in evaluation.rankings else "first stage" if name == FIRST_STAGE else "run"
    timed = any(row.get("seconds") is not None for row in evaluation.rankings.get(name, {}).values())
    return {"name": name, "kind": kind, "timed": timed}


def _about(evaluation: Evaluation, task: Task, query: Query, values: Values, measure: str) -> list[Any]:
    """A query's id, text, value by system, value of the perfect order, and seconds by system."""
    row = values[task.name, query.query_id]
    seconds = [
        evaluation.rankings.get(name, {}).get((task.name, query.query_id), {}).get("seconds")
        for name in evaluation.runs
    ]
    *systems, perfect = [round(row[name][measure], 4) for name in (*evaluation.runs, PERFECT)]
    return [query.query_id, query.text, systems, perfect, seconds]


def _rankings(
    evaluation: Evaluation, task: Task, query: Query, judged: Mapping[str, int], texts: _Collected, shown: int
) -> dict[str, Any]:
    """A query's documents, each once; by system their indices, best first, and its scores and explanations."""
    orders = [_first(by_task[task.name], query, shown) for by_task in evaluation.runs.values()]
    places = {doc_id: place for place, doc_id in enumerate(dict.fromkeys(chain.from_iterable(orders)))}
    of_rerankers = {}
    for number, name in enumerate(evaluation.runs):
        if row := evaluation.rankings.get(name, {}).get((task.name, query.query_id)):
            of_rerankers[number] = _judgments(row, places)
    return {
        "docs": list(places),
        "texts": texts.numbers(task, places),
        "gold": {places[doc_id]: grade for doc_id, grade in judged.items() if doc_id in places},
        "missing": sum(grade > 0 for doc_id, grade in judged.items() if doc_id not in places),
        "orders": [list(map(places.__getitem__, order)) for order in orders],
        "judged": of_rerankers,
    }


def _judgments(row: Mapping[str, Any], places: Mapping[str, int]) -> dict[str, Any]:
    """By document index, scores, the grades' probabilities in thousandths, and explanations with their marks."""
    items = [item for item in row["ranking"] if item["doc_id"] in places]
    marks = {doc_id: f" ({described(own)})" for doc_id, own in row.get(MARKS, {}).items()}
    return {
        "scores": {places[item["doc_id"]]: round(item["score"], 3) for item in items},
        "chances": {places[i["doc_id"]]: [round(1000 * p) for p in i["probabilities"] or ()] for i in items},
        "why": {
            places[item["doc_id"]]: item["explanation"] + marks.get(item["doc_id"], "")
            for item in items
            if item["explanation"] is not None
        },
    }


def _first(run: Run, query: Query, shown: int) -> list[str]:
    return list(islice(run.scores(query.query_id), shown)) if query.query_id in run else []
