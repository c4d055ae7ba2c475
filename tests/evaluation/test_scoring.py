"""Several runs on the same queries: bounds, gains over the first stage, and what a missing ranking costs."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from interank.errors import InputError
from interank.evaluation.candidates import Task
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM, Results, score_systems
from interank.ir.significance import holm
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
    return Task("t", [Query(name, "?") for name in NAMES], qrels, candidates, {d: Document(d, "") for d in IDS})


def scored(task: Task, runs: dict[str, Run], measures: list[str], *, seed: int = 1) -> Results:
    return score_systems([task], {name: {"t": run} for name, run in runs.items()}, measures, seed=seed)


TASK = task_of(run_of(dict.fromkeys(NAMES, IDS)))
BACKWARDS = run_of(dict.fromkeys(NAMES, IDS[::-1]))


def test_every_system_lies_between_nothing_and_the_perfect_order() -> None:
    found = scored(TASK, {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}, ["nDCG@10"])
    assert list(found.metrics) == [FIRST_STAGE, "ours", RANDOM, PERFECT]
    assert found.metrics[PERFECT]["nDCG@10"]["mean"] == pytest.approx(1)
    for row in found.per_query:
        for name in (FIRST_STAGE, "ours", RANDOM):
            assert 0 <= row[name]["nDCG@10"] <= row[PERFECT]["nDCG@10"]
    assert 0 < found.metrics[RANDOM]["nDCG@10"]["mean"] < 1


def test_the_perfect_order_cannot_find_what_the_candidates_lack() -> None:
    task = task_of(run_of({name: ["d0", "d5"] for name in NAMES}))
    found = scored(task, {FIRST_STAGE: task.candidates}, ["R@100"])
    # Of the queries 0, 4 and 5 one of two relevant documents is a candidate, of the others none.
    assert [row[PERFECT]["R@100"] for row in found.per_query] == [0.5, 0, 0, 0, 0.5, 0.5]
    assert found.metrics[PERFECT]["R@100"]["mean"] == found.metrics[FIRST_STAGE]["R@100"]["mean"] == 0.25


def test_the_random_order_follows_the_seed() -> None:
    def found(seed: int) -> object:
        return scored(TASK, {FIRST_STAGE: TASK.candidates}, ["RR"], seed=seed)

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_the_gain_is_ours_minus_the_first_stage_query_by_query() -> None:
    runs = {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}
    found = scored(TASK, runs, ["nDCG@10", "RR"])
    for measure in ("nDCG@10", "RR"):
        gains = [row["ours"][measure] - row[FIRST_STAGE][measure] for row in found.per_query]
        gain = found.metrics["ours"][measure]["gain"]
        assert gain["mean"] == pytest.approx(fmean(gains))
        assert gain["mean"] == pytest.approx(
            found.metrics["ours"][measure]["mean"] - found.metrics[FIRST_STAGE][measure]["mean"], abs=1e-12
        )
        assert gain["low"] < gain["mean"] < gain["high"]
        assert "gain" not in found.metrics[FIRST_STAGE][measure]
    # d0 is first for the first stage and last for us.
    assert found.per_query[0]["ours"]["RR"] - found.per_query[0][FIRST_STAGE]["RR"] == pytest.approx(1 / 7 - 1)


def test_a_system_that_changes_nothing_gains_exactly_nothing() -> None:
    found = scored(TASK, {FIRST_STAGE: TASK.candidates, "ours": TASK.candidates}, ["nDCG@10"])
    nothing = {"mean": 0, "low": 0, "high": 0, "p": 1, "p_corrected": 1, "wins": 0, "ties": 6, "losses": 0}
    assert found.metrics["ours"]["nDCG@10"]["gain"] == nothing


def test_a_query_without_candidates_counts_nothing_but_counts() -> None:
    task = task_of(run_of(dict.fromkeys(NAMES[1:], IDS)))
    found = scored(task, {FIRST_STAGE: task.candidates}, ["nDCG@10"])
    assert found.metrics[FIRST_STAGE]["queries"] == 6
    assert [row["query_id"] for row in found.per_query] == NAMES
    assert {
        name: values["nDCG@10"] for name, values in found.per_query[0].items() if name not in ("task", "query_id")
    } == {
        FIRST_STAGE: 0,
        RANDOM: 0,
        PERFECT: 0,
    }
    assert found.metrics[PERFECT]["nDCG@10"]["mean"] == pytest.approx(5 / 6)


def test_means_are_those_of_the_values_by_query() -> None:
    found = scored(TASK, {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}, ["RR"])
    for name, system in found.metrics.items():
        assert system["RR"]["mean"] == pytest.approx(fmean(row[name]["RR"] for row in found.per_query))


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(InputError, match="nDGC"):
        scored(TASK, {FIRST_STAGE: TASK.candidates}, ["nDGC@10"])


def other_task() -> Task:
    """Two queries of which the candidates hold the relevant document last, and first."""
    candidates = run_of({"q0": ["x", "y"], "q1": ["y", "x"]})
    qrels = [Qrel("q0", "y", 1), Qrel("q1", "y", 1)]
    return Task("other", [Query("q0", "?"), Query("q1", "?")], qrels, candidates, None)


def test_the_mean_over_tasks_is_that_of_their_means_and_ids_may_be_shared() -> None:
    other = other_task()
    systems = {FIRST_STAGE: {"t": TASK.candidates, "other": other.candidates}}
    found = score_systems([TASK, other], systems, ["RR"], seed=1)
    first = found.metrics[FIRST_STAGE]
    assert first["queries"] == 8
    assert first["tasks"]["t"]["queries"] == 6
    assert first["tasks"]["other"]["RR"]["mean"] == pytest.approx(0.75)
    assert first["RR"]["mean"] == pytest.approx((first["tasks"]["t"]["RR"]["mean"] + 0.75) / 2)
    assert [(row["task"], row["query_id"]) for row in found.per_query[-3:]] == [
        ("t", "q5"),
        ("other", "q0"),
        ("other", "q1"),
    ]
    assert [row[FIRST_STAGE]["RR"] for row in found.per_query[-2:]] == [0.5, 1.0]


def test_every_pair_of_systems_is_compared_and_p_grows_with_the_pairs() -> None:
    other = other_task()
    better = run_of({"q0": ["y", "x"], "q1": ["y", "x"]})
    systems = {
        FIRST_STAGE: {"t": TASK.candidates, "other": other.candidates},
        "ours": {"t": BACKWARDS, "other": better},
        "same": {"t": TASK.candidates, "other": better},
    }
    found = score_systems([TASK, other], systems, ["nDCG@10", "RR"], seed=1)
    assert [(c["system"], c["against"]) for c in found.comparisons if c["measure"] == "RR"] == [
        ("ours", FIRST_STAGE),
        ("same", FIRST_STAGE),
        ("same", "ours"),
    ]
    for comparison in found.comparisons:
        assert comparison["wins"] + comparison["ties"] + comparison["losses"] == 8
        assert comparison["p"] <= comparison["p_corrected"] <= min(1, 3 * comparison["p"])
    (same,) = [c for c in found.comparisons if c["measure"] == "RR" and c["system"] == "same" and c["wins"] == 1]
    assert same["tasks"] == {
        "t": {"mean": 0, "p": 1, "p_corrected": 1, "wins": 0, "ties": 6, "losses": 0},
        "other": {"mean": 0.25, "p": 1, "p_corrected": 1, "wins": 1, "ties": 1, "losses": 0},
    }
    assert same["mean"] == pytest.approx(0.125)
    # One query of one task moved: either way is as likely.
    assert same["p"] == 1.0
    gain = found.metrics["same"]["RR"]["gain"]
    assert gain["mean"] == same["mean"]
    assert gain["p_corrected"] == same["p_corrected"]


def test_the_bounds_are_no_systems_and_are_not_tested() -> None:
    found = scored(TASK, {FIRST_STAGE: TASK.candidates, "ours": BACKWARDS}, ["nDCG@10"])
    assert {c["system"] for c in found.comparisons} == {"ours"}
    assert "p" in found.metrics["ours"]["nDCG@10"]["gain"]
    assert set(found.metrics[PERFECT]["nDCG@10"]["gain"]) == {"mean", "low", "high"}


def test_a_system_that_ranks_what_a_query_excludes_is_not_scored() -> None:
    task = replace(TASK, excluded={"q1": frozenset({"d7"})})
    with pytest.raises(ValueError, match=r"'d7'.*'q1' of t"):
        scored(task, {FIRST_STAGE: TASK.candidates}, ["nDCG@10"])


def test_p_by_task_is_the_task_s_own_and_grows_with_tasks_and_pairs() -> None:
    other = replace(TASK, name="other", candidates=BACKWARDS)
    forwards = TASK.candidates
    systems = {
        FIRST_STAGE: {"t": forwards, "other": BACKWARDS},
        "ours": {"t": BACKWARDS, "other": forwards},
        "same": {"t": forwards, "other": forwards},
    }
    found = score_systems([TASK, other], systems, ["nDCG@10"], seed=1).comparisons
    own = [score_systems([task], systems, ["nDCG@10"], seed=1).comparisons for task in (TASK, other)]
    by_task = [pair["tasks"][task] for task in ("t", "other") for pair in found]
    assert [each["p"] for each in by_task] == [alone["p"] for task in own for alone in task]
    assert [each["p_corrected"] for each in by_task] == holm([each["p"] for each in by_task])
    assert len({each["p"] for each in by_task}) > 1
