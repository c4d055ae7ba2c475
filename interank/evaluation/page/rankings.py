"""What the page's browser of rankings shows: each query's documents as every system ordered and judged them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain, islice
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.evaluated import Evaluation
from interank.evaluation.explained import MARKS, told
from interank.evaluation.page.claim import best_system
from interank.evaluation.page.packing import Block, Texts, pack_texts, packed, packed_parts
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, Results
from interank.ir.measures import judged_by_query
from interank.types import Query, Run

# A page of this many ranked documents opens at once; with more queries, fewer documents of each are shown.
_SHOWN_IN_ALL = 200_000
_LEAST, _MOST = 10, 100
# Queries in a block, which is unpacked when one of them is looked at.
_TOGETHER = 32
# Of 30 MB, the rest is left to drawings and tables.
_BUDGET = 28_000_000

Values = Mapping[tuple[str, str], Mapping[str, Any]]
"""The rows of `per_query.jsonl` by task and query id."""


def browser_blocks(found: Evaluation, results: Results, measure: str) -> tuple[list[Block], Texts]:
    """The index, the rankings and the texts."""
    count = sum(len(task.queries) for task in found.tasks)
    shown = max(_LEAST, min(_MOST, _SHOWN_IN_ALL // count))
    values = {(row["task"], row["query_id"]): row for row in results.per_query}
    texts = _Collected()
    queries, rows = [], []
    for place, task in enumerate(found.tasks):
        gold = judged_by_query(task.qrels)
        for query in task.queries:
            judged = gold.get(query.query_id, {})
            queries.append([place, *_about(found, task, query, values, measure)])
            rows.append(_rankings(found, task, query, judged, texts, shown))
    starts = range(0, len(rows), _TOGETHER)
    blocks = packed_parts("rankings", [slice(start, start + _TOGETHER) for start in starts], rows.__getitem__)
    packed_texts = pack_texts(texts.texts, _BUDGET - sum(len(block.content) for block in blocks))
    index = {
        "measure": measure,
        "tasks": [task.name for task in found.tasks],
        "systems": [_system(name, found) for name in found.runs],
        "best": list(found.runs).index(best_system(results, list(found.runs), measure) or FIRST_STAGE),
        "together": _TOGETHER,
        "shown": shown,
        "starts": packed_texts.starts,
        "queries": queries,
    }
    return [packed("index", index), *blocks], packed_texts


class _Collected:
    """Texts, each once, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, dict[str, int]] = {}

    def numbers(self, task: Task, doc_ids: Collection[str]) -> list[int | None]:
        """The places of the documents' texts; None where there is no text."""
        known, corpus = self._numbers.setdefault(task.name, {}), task.corpus or {}
        for doc_id in doc_ids:
            if doc_id not in known and doc_id in corpus:
                known[doc_id] = len(self.texts)
                self.texts.append(corpus[doc_id].full_text)
        return list(map(known.get, doc_ids))


def _system(name: str, found: Evaluation) -> dict[str, Any]:
    kind = "reranker" if name in found.rankings else "first stage" if name == FIRST_STAGE else "run"
    timed = any(row.get("seconds") is not None for row in found.rankings.get(name, {}).values())
    return {"name": name, "kind": kind, "timed": timed}


def _about(found: Evaluation, task: Task, query: Query, values: Values, measure: str) -> list[Any]:
    """Id, text, value by system, the best value possible, and seconds by system."""
    row = values[task.name, query.query_id]
    seconds = [found.rankings.get(name, {}).get((task.name, query.query_id), {}).get("seconds") for name in found.runs]
    reached = [round(row[name][measure], 4) for name in (*found.runs, PERFECT)]
    return [query.query_id, query.text, reached[:-1], reached[-1], seconds]


def _rankings(
    found: Evaluation, task: Task, query: Query, judged: Mapping[str, int], texts: _Collected, shown: int
) -> dict[str, Any]:
    """The documents of a query once, and by system their places, best first, with what was said of them."""
    orders = [_first(by_task[task.name], query, shown) for by_task in found.runs.values()]
    places = {doc_id: place for place, doc_id in enumerate(dict.fromkeys(chain.from_iterable(orders)))}
    of_rerankers = {}
    for number, name in enumerate(found.runs):
        if row := found.rankings.get(name, {}).get((task.name, query.query_id)):
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
    """By place score and the grades' probabilities in thousandths; the explanations, with their marks."""
    items = [item for item in row["ranking"] if item["doc_id"] in places]
    marks = {doc_id: f" ({told(found)})" for doc_id, found in row.get(MARKS, {}).items()}
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
