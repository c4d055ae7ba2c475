"""A recorded evaluation whose texts, ids and explanations try to be more than text; no model is needed for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank.evaluation.candidates import CandidateSettings, Task, load_evaluated
from interank.evaluation.explanation_marks import MARKS
from interank.evaluation.page import Provenance
from interank.evaluation.rankings import Evaluation, Rankings, Scoring, ran_on
from interank.evaluation.record import record
from interank.evaluation.scoring import FIRST_STAGE
from interank.evaluation.systems import reranked_run
from interank.recipe import EvaluateRecipe, evaluate_command
from tests.support.benchmark import write_jsonl

MARKUP = "<script>window.broken = 1</script></script><img src=x onerror='window.broken = 2'>"
QUOTES = "\"double\" 'single' `back` &amp; &lt; {{ 7 * 7 }} ${7 * 7} -->]]>"
BIDI = "safe\u202etxt.exe\u2066 and \u0000 and \u2028 end"
HOSTILE = (MARKUP, QUOTES, BIDI)
HOSTILE_SYSTEM = "ours <b>&amp;'\""


def benchmark(folder: Path, name: str, *, queries: int = 12, documents: int = 15) -> Path:
    """A task in BEIR's layout: a judged document in three, hostile texts among the harmless ones."""
    place = folder / name
    place.mkdir(parents=True)
    write_jsonl(place / "queries.jsonl", [{"_id": f"q{n}", "text": f"query {n} {_hostile(n)}"} for n in range(queries)])
    ids = [(n, m, f"q{n}-d{m}{'<i>&' if m == 2 else ''}") for n in range(queries) for m in range(documents)]
    write_jsonl(
        place / "corpus.jsonl",
        [{"_id": doc_id, "title": f"title {m}", "text": f"query {n} text {_hostile(m)} end"} for n, m, doc_id in ids],
    )
    judged = [f"q{n}\t{doc_id}\t{m % 3}\n" for n, m, doc_id in ids if m % 4 != 3]
    (place / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    order = random.Random(name)
    lines = []
    for number in range(queries):
        own = [doc_id for n, _, doc_id in ids if n == number]
        order.shuffle(own)
        lines += [f"q{number} Q0 {doc_id} {rank} {documents - rank} first\n" for rank, doc_id in enumerate(own)]
    (place / "run.trec").write_text("".join(lines))
    return place


def _hostile(number: int) -> str:
    return HOSTILE[number % 4] if number % 4 < 3 else "nothing"


def rankings(task: Task, seed: int, *, skill: float = 0.7) -> Rankings:
    """A reranker's rows: probabilities that tend to the truth, explanations of the first three documents."""
    rng = random.Random(seed)
    gold = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in task.qrels}
    return {
        (task.name, query.query_id): {
            "task": task.name,
            "query_id": query.query_id,
            "seconds": rng.random() + 0.1,
            "tokens_read": 1000,
            "tokens_written": 50,
            "flops": 1e9,
            "device": "cpu",
            "engine": "TransformersEngine",
            "dtype": "float32",
            "ranking": _ranking(task, query.query_id, gold, rng, skill),
        }
        for query in task.queries
    }


def _ranking(
    task: Task, query_id: str, gold: dict[tuple[str, str], int], rng: random.Random, skill: float
) -> list[dict[str, Any]]:
    found = []
    for doc_id in task.candidates.doc_ids(query_id):
        truth = gold.get((query_id, doc_id), 0)
        weights = [rng.random() + (skill if grade == truth else 0) for grade in range(3)]
        chances = [weight / sum(weights) for weight in weights]
        found.append(
            {
                "doc_id": doc_id,
                "score": chances[1] + 2 * chances[2],
                "relevance": max(range(3), key=chances.__getitem__),
                "probabilities": chances,
                "label_mass": 0.98,
                "explanation": None,
                "truncated": 0,
            }
        )
    found.sort(key=lambda item: -item["score"])
    for place, item in enumerate(found[:3]):
        item["explanation"] = f"because {HOSTILE[place]}"
    return found


def add_marks(rankings: Rankings) -> None:
    """Mark each explanation by two rewards, one of which has nothing to say of a query's third."""
    rng = random.Random(7)
    for row in rankings.values():
        explained = [item["doc_id"] for item in row["ranking"] if item["explanation"]]
        row[MARKS] = {doc_id: {"stance": rng.uniform(-1, 1), "support": rng.random()} for doc_id in explained}
        row[MARKS][explained[2]]["support"] = None


def evaluation(recipe: EvaluateRecipe, names: Sequence[str]) -> Evaluation:
    """Each name as a reranker of its own seed on the recipe's tasks."""
    tasks = load_evaluated(CandidateSettings.of(recipe), reranking=True)
    rows: dict[str, Rankings] = {name: {} for name in names}
    for seed, name in enumerate(names):
        for task in tasks:
            rows[name] |= rankings(task, seed, skill=0.9 - 0.5 * seed)
    runs = {FIRST_STAGE: {task.name: task.candidates for task in tasks}}
    runs |= {name: {task.name: reranked_run(found, task, "test") for task in tasks} for name, found in rows.items()}
    costs: dict[str, dict[str, Any]] = {FIRST_STAGE: {"seconds": 0.5}}
    costs |= {name: {"seconds": sum(row["seconds"] for row in found.values())} for name, found in rows.items()}
    return Evaluation(tasks, runs, rows, {}, costs, [f"a note {MARKUP}"])


def recorded(
    folder: Path, *, tasks: Sequence[str] = ("one", "two"), names: Sequence[str] = ("plain", HOSTILE_SYSTEM)
) -> Path:
    """The folder of an evaluation on hostile tasks; the first system's explanations are marked."""
    place = folder / "benchmark"
    for name in tasks:
        benchmark(place, name)
    recipe = EvaluateRecipe(stage="evaluate", benchmark=place, measures=("nDCG@10", "RR"), depth=15)
    found = evaluation(recipe, names)
    add_marks(found.rankings[names[0]])
    out = folder / "evaluation"
    out.mkdir()
    record(out, Scoring.of(recipe), found, Provenance(evaluate_command(recipe, out), {}, ran_on(found.rankings)))
    return out
