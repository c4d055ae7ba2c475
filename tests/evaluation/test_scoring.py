"""Several runs on the same queries: bounds, gains over the first stage, and what a missing ranking costs."""

from __future__ import annotations

from statistics import fmean

import pytest

from interank.errors import InputError
from interank.evaluation.candidates import Task
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM, score_systems
from interank.types import Document, Qrel, Query, Run, ScoredDoc

IDS = [f"d{n}" for n in range(8)]
NAMES = [f"q{n}" for n in range(6)]


def run_of(rankings: dict[str, list[str]]) -> Run:
    return Run(
        {name: [ScoredDoc(name, d, float(-rank)) for rank, d in enumerate(ids)] for name, ids in rankings.items()},
        tag="t",
    )


def task_of(candidates: Run) -> Task:
    """Of query n, document n is relevant and the next one partially."""
    qrels = [Qrel(name, f"d{n + more}", 2 - more) for n, name in enumerate(NAMES) for more in (0, 1)]
    return Task([Query(name, "?") for name in NAMES], qrels, candidates, {d: Document(d, "") for d in IDS})


TASK = task_of(run_of(dict.fromkeys(NAMES, IDS)))
BACKWARDS = run_of(dict.fromkeys(NAMES, IDS[::-1]))


def test_every_system_lies_between_nothing_and_the_perfect_order() -> None:
    metrics, per_query = score_systems(TASK, {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}, ["nDCG@10"], seed=1)
    assert list(metrics) == [FIRST_STAGE, "ours", RANDOM, PERFECT]
    assert metrics[PERFECT]["nDCG@10"]["mean"] == pytest.approx(1)
    for row in per_query:
        for name in (FIRST_STAGE, "ours", RANDOM):
            assert 0 <= row[name]["nDCG@10"] <= row[PERFECT]["nDCG@10"]
    assert 0 < metrics[RANDOM]["nDCG@10"]["mean"] < 1


def test_the_perfect_order_cannot_find_what_the_candidates_lack() -> None:
    task = task_of(run_of({name: ["d0", "d5"] for name in NAMES}))
    metrics, per_query = score_systems(task, {FIRST_STAGE: task.candidates}, ["R@100"], seed=1)
    # Of the queries 0, 4 and 5 one of two relevant documents is a candidate, of the others none.
    assert [row[PERFECT]["R@100"] for row in per_query] == [0.5, 0, 0, 0, 0.5, 0.5]
    assert metrics[PERFECT]["R@100"]["mean"] == metrics[FIRST_STAGE]["R@100"]["mean"] == 0.25


def test_the_random_order_follows_the_seed() -> None:
    def found(seed: int) -> object:
        return score_systems(TASK, {FIRST_STAGE: TASK.candidates}, ["RR"], seed=seed)

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_the_gain_is_ours_minus_the_first_stage_query_by_query() -> None:
    runs = {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}
    metrics, per_query = score_systems(TASK, runs, ["nDCG@10", "RR"], seed=1)
    for measure in ("nDCG@10", "RR"):
        gains = [row["ours"][measure] - row[FIRST_STAGE][measure] for row in per_query]
        gain = metrics["ours"][measure]["gain"]
        assert gain["mean"] == pytest.approx(fmean(gains))
        assert gain["mean"] == pytest.approx(
            metrics["ours"][measure]["mean"] - metrics[FIRST_STAGE][measure]["mean"], abs=1e-12
        )
        assert gain["low"] < gain["mean"] < gain["high"]
        assert "gain" not in metrics[FIRST_STAGE][measure]
    # d0 is first for the first stage and last for us.
    assert per_query[0]["ours"]["RR"] - per_query[0][FIRST_STAGE]["RR"] == pytest.approx(1 / 7 - 1)


def test_a_system_that_changes_nothing_gains_exactly_nothing() -> None:
    metrics, _ = score_systems(TASK, {FIRST_STAGE: TASK.candidates, "ours": TASK.candidates}, ["nDCG@10"], seed=1)
    assert metrics["ours"]["nDCG@10"]["gain"] == {"mean": 0, "low": 0, "high": 0}


def test_a_query_without_candidates_counts_nothing_but_counts() -> None:
    task = task_of(run_of(dict.fromkeys(NAMES[1:], IDS)))
    metrics, per_query = score_systems(task, {FIRST_STAGE: task.candidates}, ["nDCG@10"], seed=1)
    assert metrics[FIRST_STAGE]["queries"] == 6
    assert [row["query_id"] for row in per_query] == NAMES
    assert {name: values["nDCG@10"] for name, values in per_query[0].items() if name != "query_id"} == {
        FIRST_STAGE: 0,
        RANDOM: 0,
        PERFECT: 0,
    }
    assert metrics[PERFECT]["nDCG@10"]["mean"] == pytest.approx(5 / 6)


def test_means_are_those_of_the_values_by_query() -> None:
    metrics, per_query = score_systems(TASK, {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}, ["RR"], seed=1)
    for name, system in metrics.items():
        assert system["RR"]["mean"] == pytest.approx(fmean(row[name]["RR"] for row in per_query))


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(InputError, match="nDGC"):
        score_systems(TASK, {FIRST_STAGE: TASK.candidates}, ["nDGC@10"], seed=1)
