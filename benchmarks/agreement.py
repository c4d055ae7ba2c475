"""What leaving out judgments on which the teacher's samples disagree is worth, against votes and acceptance.

    interank generate recipes/generate/smollm2.yaml dumps=DIR benchmarks=DIR --out DIR teacher.grades=teacher \
        teacher.samples=5 teacher.temperature=0.7 prompt.order=reason_first teacher.engine=vllm
    python benchmarks/agreement.py DIR [--json FILE] [--seed 42]

Reads judgments with `samples` and without `min_agreement`. How a document was found says a grade (accepted answer 2,
another answer 1, negative 0); that is the truth here, as far as votes are one. Intervals are 95% percentile bootstrap
over questions. Two filters: on the share of a pair's samples that vote for its grade, and on a question's nDCG, which
is taken on one half of its documents and judged on the other, since what chooses by a measure also scores by it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interank.ir.measures import score_run
from interank.teacher.annotate import GRADE_BY_ORIGIN
from interank.types import Qrel, Run, ScoredDoc

RESAMPLES = 10_000
Numbers = NDArray[np.float64]


class Judged(NamedTuple):
    """A judgment beside what votes say."""

    doc_id: str
    voted: int
    graded: int
    expected: float
    """The grade that the teacher expects, by its probabilities."""
    agreement: float


def read(folder: Path) -> dict[str, list[Judged]]:
    """The judgments of an artifact, by question."""
    questions: dict[str, list[Judged]] = {}
    for line in (folder / "judgments.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["agreement"] is None:
            raise SystemExit(f"{folder}: a judgment of a single sample was found; give teacher.samples above 1")
        expected = row["probabilities"][1] + 2 * row["probabilities"][2]
        judged = Judged(row["doc_id"], GRADE_BY_ORIGIN[row["origin"]], row["relevance"], expected, row["agreement"])
        questions.setdefault(row["query_id"], []).append(judged)
    return questions


def ndcg(lists: Sequence[Sequence[Judged]]) -> list[float]:
    """nDCG@10 of each list of judgments, ranked by the expected grade, by trec_eval."""
    named = [(str(number), judged) for number, judged in enumerate(lists)]
    # Equal scores keep the order given, which must not be that of the votes.
    scored = [ScoredDoc(name, item.doc_id, item.expected) for name, judged in named for item in sorted(judged)]
    run = Run.from_scores(scored, tag="teacher")
    qrels = [Qrel(name, item.doc_id, item.voted) for name, judged in named for item in judged]
    found = score_run(qrels, run).per_query["nDCG@10"]
    return [found[name] for name, _ in named]


def interval(statistic: Callable[[Numbers], Numbers], count: int, rng: np.random.Generator) -> dict[str, float]:
    """A statistic of how often each question counts, shape (resamples, questions), and its bootstrap interval."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    # A resample may hold none of the questions that are kept.
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile(statistic(drawn), [0.025, 0.975])
    return {
        "mean": round(float(statistic(np.ones((1, count)))[0]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def by_agreement(questions: dict[str, list[Judged]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Accuracy of the judgments with at least so much agreement, less that of all; and of whole questions, nDCG."""
    lists = list(questions.values())
    whole = np.array(ndcg(lists))
    agreed = np.array([np.mean([item.agreement for item in judged]) for judged in lists])
    rows = []
    for threshold in sorted({item.agreement for judged in lists for item in judged}):
        counts = np.array(
            [
                (
                    len(judged),
                    sum(item.graded == item.voted for item in judged),
                    sum(item.agreement >= threshold for item in judged),
                    sum(item.agreement >= threshold and item.graded == item.voted for item in judged),
                )
                for judged in lists
            ],
            np.float64,
        )

        def gain(drawn: Numbers, counts: Numbers = counts) -> Numbers:
            every, right, kept, kept_right = (drawn @ counts).T
            return kept_right / kept - right / every

        every, right, kept, kept_right = counts.sum(0)
        row = {
            "agreement": round(threshold, 3),
            "kept": int(kept),
            "of": int(every),
            "accuracy_kept": round(kept_right / kept, 4),
            "accuracy_all": round(right / every, 4),
            "accuracy_gain": interval(gain, len(lists), rng),
        }
        chosen = (agreed >= threshold).astype(np.float64)
        if 0 < chosen.sum() < len(lists):

            def rise(drawn: Numbers, chosen: Numbers = chosen) -> Numbers:
                return (drawn @ (chosen * whole)) / (drawn @ chosen) - (drawn @ whole) / drawn.sum(1)

            row |= {"questions_kept": int(chosen.sum()), "ndcg_gain": interval(rise, len(lists), rng)}
        rows.append(row)
    return rows


def by_ndcg(questions: dict[str, list[Judged]], rng: np.random.Generator) -> dict[str, Any]:
    """The nDCG on half a question's documents of those questions whose nDCG on the others is high, less that of all."""
    halves: list[tuple[list[Judged], list[Judged]]] = []
    splits: list[list[int]] = []
    for judged in questions.values():
        mine = []
        for chosen in combinations(range(len(judged)), len(judged) // 2):
            one = [judged[place] for place in chosen]
            other = [item for place, item in enumerate(judged) if place not in chosen]
            if all(len({item.voted for item in half}) > 1 for half in (one, other)):
                mine.append(len(halves))
                halves.append((one, other))
        if mine:
            splits.append(mine)
    seen, unseen = (np.array(ndcg([pair[side] for pair in halves])) for side in (0, 1))
    gains = []
    for _ in range(RESAMPLES):
        drawn = [splits[place] for place in rng.integers(0, len(splits), len(splits))]
        places = np.array([rng.choice(mine) for mine in drawn])
        upper = seen[places] >= np.median(seen[places])
        gains.append(unseen[places][upper].mean() - unseen[places].mean())
    low, high = np.quantile(gains, [0.025, 0.975])
    return {
        "questions": len(splits),
        "ndcg_gain": {"mean": round(float(np.mean(gains)), 4), "low": round(low, 4), "high": round(high, 4)},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judgments", type=Path, help="a judgments artifact")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    questions = read(arguments.judgments)
    rng = np.random.default_rng(arguments.seed)
    lists = list(questions.values())
    every = [item for judged in lists for item in judged]
    figures = {
        "questions": len(lists),
        "judgments": len(every),
        "grades": {grade: sum(item.graded == grade for item in every) for grade in (0, 1, 2)},
        "voted": {grade: sum(item.voted == grade for item in every) for grade in (0, 1, 2)},
        "ndcg": round(float(np.mean(ndcg(lists))), 4),
        "ndcg_of_any_order": round(float(np.mean(ndcg([_shuffled(judged, rng) for judged in lists * 200]))), 4),
        "by_agreement": by_agreement(questions, rng),
        "by_ndcg": by_ndcg(questions, rng),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


def _shuffled(judged: Sequence[Judged], rng: np.random.Generator) -> list[Judged]:
    return [item._replace(expected=float(rng.random())) for item in judged]


if __name__ == "__main__":
    main()
