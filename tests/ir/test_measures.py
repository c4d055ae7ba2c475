"""Scores equal trec_eval's own outputs, published values, and an nDCG written out by hand."""

import itertools
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.ir.measures import (
    MEASURE_EXAMPLES,
    Scores,
    canonical_measure,
    deepest,
    ideal_run,
    random_run,
    score_run,
    tie_bounds,
)
from interank.ir.trec import read_qrels, read_run, read_scored, write_run
from interank.types import Qrel, Run, ScoredDoc

CUTOFFS = (5, 10, 15, 20, 30, 100, 200, 500, 1000)

# trec_eval's names, and ours, of what both have and is a mean over queries.
TREC_NAMES = {
    "map": "AP",
    "Rprec": "Rprec",
    "bpref": "Bpref",
    "recip_rank": "RR",
    "infAP": "infAP",
    "ndcg": "nDCG",
    "set_P": "SetP",
    "set_recall": "SetR",
    "set_map": "SetAP",
    "set_F": "SetF",
    **{f"P_{k}": f"P@{k}" for k in CUTOFFS},
    **{f"recall_{k}": f"R@{k}" for k in CUTOFFS},
    **{f"ndcg_cut_{k}": f"nDCG@{k}" for k in CUTOFFS},
    **{f"map_cut_{k}": f"AP@{k}" for k in CUTOFFS},
    **{f"success_{k}": f"Success@{k}" for k in (1, 5, 10)},
}
GRADELESS = {"ndcg", *(f"ndcg_cut_{k}" for k in CUTOFFS)}


def slow_ndcg(qrels: list[Qrel], run: Run, cutoff: int) -> dict[str, float]:
    """Järvelin and Kekäläinen's nDCG with linear gains and a logarithm to base 2."""
    result = {}
    for query_id in {qrel.query_id for qrel in qrels}:
        gains = {qrel.doc_id: max(qrel.relevance, 0) for qrel in qrels if qrel.query_id == query_id}
        ranked = run.doc_ids(query_id) if query_id in run else []
        found = [gains.get(doc_id, 0) for doc_id in ranked][:cutoff]
        best = sorted(gains.values(), reverse=True)[:cutoff]
        total, most = (sum(g / math.log2(n + 2) for n, g in enumerate(gains)) for gains in (found, best))
        result[query_id] = total / most if most else 0.0
    return result


def random_case(seed: int) -> tuple[list[Qrel], Run]:
    rng = random.Random(seed)
    doc_ids = [f"d{n}" for n in range(30)]
    qrels, scored = [], []
    for query_id in ("q1", "q2", "q3", "q4"):
        qrels += [
            Qrel(query_id, doc_id, rng.choice([-1, 0, 0, 1, 2, 3]))
            for doc_id in rng.sample(doc_ids, rng.randint(1, 20))
        ]
        # Few distinct scores: most documents tie.
        ranked = rng.sample(doc_ids, rng.randint(0, 30))
        scored += [ScoredDoc(query_id, doc_id, rng.randint(0, 3)) for doc_id in ranked]
    return qrels, Run.from_scores(scored, tag="t")


@pytest.mark.parametrize("seed", range(40))
def test_ndcg_equals_one_written_out_by_hand(seed: int) -> None:
    qrels, run = random_case(seed)
    scores = score_run(qrels, run, ("nDCG@10", "nDCG@3", "nDCG"))
    for name, cutoff in (("nDCG@10", 10), ("nDCG@3", 3), ("nDCG", 1000)):
        expected = slow_ndcg(qrels, run, cutoff)
        assert scores.per_query[name] == pytest.approx(expected, abs=1e-12)
        assert scores.mean[name] == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)


def test_ties_in_a_file_are_broken_as_trec_eval_does(tmp_path: Path) -> None:
    qrels = [Qrel("q", "b", 1)]
    path = tmp_path / "r"
    path.write_text("q Q0 a 1 1.0 t\nq Q0 b 2 1.0 t\n")
    assert score_run(qrels, read_run(path), ("RR",)).mean == {"RR": 1.0}
    path.write_text("q Q0 c 2 1.0 t\nq Q0 b 1 1.0 t\n")
    assert score_run(qrels, read_run(path), ("RR",)).mean == {"RR": 0.5}


def test_ties_of_a_reranker_keep_first_stage_order() -> None:
    first_stage = Run.from_scores([ScoredDoc("q", "a", 2.0), ScoredDoc("q", "b", 1.0)], tag="first")
    tied = [ScoredDoc("q", "b", 1.0), ScoredDoc("q", "a", 1.0)]
    run = Run.from_scores(tied, first_stage=first_stage, tag="t")
    assert score_run([Qrel("q", "a", 1)], run, ("RR",)).mean == {"RR": 1.0}


def test_which_queries_count() -> None:
    qrels = [
        Qrel("found", "d", 1),
        Qrel("missing", "d", 1),
        Qrel("hopeless", "d", 0),
        Qrel("hopeless", "e", -1),
    ]
    run = Run.from_scores([ScoredDoc(query_id, "d", 1.0) for query_id in ("found", "hopeless", "unjudged")], tag="t")
    scores = score_run(qrels, run, ("nDCG@10", "AP", "R@5"))
    assert scores.query_count == 3
    for name in ("nDCG@10", "AP", "R@5"):
        assert scores.per_query[name] == {"found": 1.0, "missing": 0.0, "hopeless": 0.0}
        assert scores.mean[name] == pytest.approx(1 / 3)


def test_an_empty_run_scores_zero() -> None:
    assert score_run([Qrel("q", "d", 1)], Run({}, tag="t"), MEASURE_EXAMPLES).mean == dict.fromkeys(
        MEASURE_EXAMPLES, 0.0
    )


def test_negative_relevance_gains_nothing() -> None:
    qrels = [Qrel("q", "bad", -2), Qrel("q", "good", 1)]
    run = Run.from_scores([ScoredDoc("q", "bad", 2.0), ScoredDoc("q", "good", 1.0)], tag="t")
    assert score_run(qrels, run).mean["nDCG@10"] == pytest.approx(1 / math.log2(3))


def test_a_query_with_negative_relevances_only_scores_zero() -> None:
    run = Run.from_scores([ScoredDoc(query_id, doc_id, 1.0) for query_id in "ab" for doc_id in "de"], tag="t")
    qrels = [Qrel("a", "d", -1), Qrel("a", "e", -3), Qrel("b", "d", 1)]
    scores = score_run(qrels, run, ("nDCG", "nDCG@10", "AP"))
    assert scores.mean == dict.fromkeys(("nDCG", "nDCG@10", "AP"), 0.5)
    assert score_run(qrels[:2], run, ("nDCG", "AP")).mean == {"nDCG": 0.0, "AP": 0.0}


@pytest.mark.parametrize(
    "name",
    [
        "nDCG@0",
        "nDCG@-1",
        "nDCG@",
        "nDCG@10.5",
        "nDCG@ten",
        "ndcg_cut",
        "R",
        "P",
        "MRR@0",
        "Recall",
        "MAP@10.0",
        "foo",
        "",
        "AP(rel=0)",
        "ERR@10",
        "Judged@10",
        "IPrec@0.1",
        "nDCG@10\n",
    ],
)
def test_unknown_measures_are_refused_with_valid_ones(name: str) -> None:
    with pytest.raises(InputError, match="nDCG@10, nDCG, AP"):
        score_run([Qrel("q", "d", 1)], Run({}, tag="t"), ("nDCG@10", name))


def test_every_example_and_every_spelling_is_scored() -> None:
    names = (
        *MEASURE_EXAMPLES,
        *TREC_NAMES.values(),
        "NumRel",
        "NumRet(rel=1)",
        "NumRet",
        "nDCG@999999",
        "RR(rel=2)",
        "Bpref(rel=2)",
        "SetF(rel=3)",
    )
    qrels, run = random_case(0)
    scores = score_run(qrels, run, names)
    assert list(scores.mean) == list(dict.fromkeys(names))
    assert all(math.isfinite(value) for value in scores.mean.values())


def test_the_fields_own_spellings() -> None:
    spelled = {
        "MAP": "AP",
        "map@100": "AP@100",
        "MRR@10": "RR@10",
        "mrr": "RR",
        "Recall@100": "R@100",
        "NDCG@20": "nDCG@20",
        "ndcg": "nDCG",
        "Precision@5": "P@5",
        "success(rel=2)@1": "Success(rel=2)@1",
        "rprec": "Rprec",
    }
    assert {name: canonical_measure(name) for name in spelled} == spelled
    qrels, run = random_case(1)
    ours, theirs = (score_run(qrels, run, tuple(names)) for names in (spelled, spelled.values()))
    assert list(ours.mean) == list(spelled)
    assert list(ours.mean.values()) == list(theirs.mean.values())


@pytest.mark.parametrize("seed", range(10))
def test_reciprocal_rank_with_a_cutoff_is_that_of_the_run_cut_there(seed: int) -> None:
    qrels, run = random_case(seed)
    names = (*(f"RR@{k}" for k in range(1, 31)), "RR(rel=2)@3")
    scores = score_run(qrels, run, names)
    for k in range(1, 31):
        assert scores.per_query[f"RR@{k}"] == score_run(qrels, run.top(k), ("RR",)).per_query["RR"]
    assert scores.per_query["RR(rel=2)@3"] == score_run(qrels, run.top(3), ("RR(rel=2)",)).per_query["RR(rel=2)"]


@pytest.mark.parametrize("seed", range(12))
def test_tie_bounds_are_those_of_every_order_tried(seed: int) -> None:
    rng = random.Random(seed)
    doc_ids = [f"d{n}" for n in range(7)]
    qrels = [Qrel("q", doc_id, rng.choice([-1, 0, 1, 2])) for doc_id in doc_ids[:5]] + [Qrel("q", "beyond", 1)]
    scored = {doc_id: rng.choice([1.0, 2.0]) for doc_id in doc_ids}
    names = ("nDCG@3", "nDCG", "AP", "AP(rel=2)", "RR", "RR@2", "P@2", "R@4", "Bpref", "Rprec", "SetP", "Success@1")
    orders = [sorted(order, key=lambda doc_id: -scored[doc_id]) for order in itertools.permutations(doc_ids)]
    # Each order as a query of its own: one call scores them all.
    run = Run({str(n): [ScoredDoc("", d, -place) for place, d in enumerate(o)] for n, o in enumerate(orders)}, tag="t")
    judged = [Qrel(str(n), qrel.doc_id, qrel.relevance) for n in range(len(orders)) for qrel in qrels]
    found = {name: values.values() for name, values in score_run(judged, run, names).per_query.items()}
    lowest, highest = tie_bounds(qrels, {"q": scored}, names)
    assert lowest == {name: min(values) for name, values in found.items()}
    assert highest == {name: max(values) for name, values in found.items()}


def test_tie_bounds_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("q Q0 a 1 1.0 t\nq Q0 b 2 1.00000000001 t\nq Q0 c 3 0.5 t\n")
    qrels = [Qrel("q", "b", 1)]
    assert tie_bounds(qrels, read_scored(path), ("RR",)) == ({"RR": 0.5}, {"RR": 1.0})
    path.write_text("q Q0 a 1 3 t\nq Q0 b 2 2 t\nq Q0 c 3 1 t\n")
    assert tie_bounds(qrels, read_scored(path), ("RR",)) == ({"RR": 0.5}, {"RR": 0.5})
    with pytest.raises(InputError, match="infAP"):
        tie_bounds(qrels, read_scored(path), ("infAP",))


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(InputError, match="qrels"):
        score_run([], Run({}, tag="t"))
    with pytest.raises(InputError, match="measure"):
        score_run([Qrel("q", "d", 1)], Run({}, tag="t"), ())


@pytest.mark.parametrize("seed", range(10))
def test_ideal_run_is_the_ceiling(seed: int) -> None:
    qrels, candidates = random_case(seed)
    best = score_run(qrels, ideal_run(qrels, candidates)).per_query["nDCG@10"]
    for other in (candidates, *(random_run(candidates, n) for n in range(20))):
        reached = score_run(qrels, other).per_query["nDCG@10"]
        assert all(best[query_id] >= reached[query_id] - 1e-12 for query_id in best)


def test_ideal_run_keeps_candidates_and_their_order_among_equals() -> None:
    candidates = Run.from_scores([ScoredDoc("q", doc_id, -n) for n, doc_id in enumerate("abcde")], tag="t")
    ideal = ideal_run([Qrel("q", "d", 1), Qrel("q", "b", 1), Qrel("q", "e", 2), Qrel("q", "x", 3)], candidates)
    assert ideal.doc_ids("q") == ["e", "b", "d", "a", "c"]


def test_random_run_follows_the_seed_and_not_the_other_queries() -> None:
    scored = [ScoredDoc(query_id, f"d{n}", -n) for query_id in ("q1", "q2") for n in range(50)]
    candidates = Run.from_scores(scored, tag="t")
    shuffled = random_run(candidates, 7)
    assert shuffled == random_run(candidates, 7)
    assert shuffled != random_run(candidates, 8)
    assert random_run(candidates.only(["q2"]), 7)["q2"] == shuffled["q2"]
    assert shuffled.doc_ids("q1") != shuffled.doc_ids("q2")
    assert sorted(shuffled.doc_ids("q1")) == sorted(candidates.doc_ids("q1"))
    firsts = {random_run(candidates, seed).doc_ids("q1")[0] for seed in range(400)}
    assert len(firsts) == 50  # 50 documents, 400 draws: each missed with probability 0.0003


@pytest.mark.parametrize("seed", range(5))
def test_a_measure_sees_no_deeper_than_its_cutoff(seed: int) -> None:
    qrels, candidates = random_case(seed)
    best, cut = ideal_run(qrels, candidates), ideal_run(qrels, candidates, depth=4)
    assert {i: cut.doc_ids(i) for i in cut} == {i: best.doc_ids(i)[:4] for i in best}
    cut = random_run(candidates, seed, depth=4)
    assert [len(cut[i]) for i in cut] == [min(4, len(candidates[i])) for i in candidates]
    assert all(set(cut.doc_ids(i)) <= set(candidates.doc_ids(i)) for i in candidates)
    assert deepest(["nDCG@10", "R@100"]) == 100
    assert deepest(["nDCG@10", "AP"]) is None


def test_a_run_scores_the_same_once_written_and_read(tmp_path: Path) -> None:
    qrels, run = random_case(3)
    write_run(run, tmp_path / "r")
    assert score_run(qrels, read_run(tmp_path / "r"), MEASURE_EXAMPLES) == score_run(qrels, run, MEASURE_EXAMPLES)


def test_importing_is_quick_because_the_scorer_comes_later() -> None:
    code = "import sys, interank.ir.measures, interank.ir.bm25, interank.ir.benchmarks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"ir_measures", "pytrec_eval", "bm25s", "numpy", "torch"} & set(loaded)


def trec_output(path: Path) -> dict[tuple[str, str], str]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return {(name, query_id): value for name, query_id, value in rows}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("output", "results", "top_k", "complete"),
    [
        ("out.test", "results.test", None, False),
        ("out.test.aq", "results.test", None, False),
        ("out.test.aqc", "results.trunc", None, True),
        ("out.test.aqcM", "results.trunc", 100, True),
    ],
)
def test_trec_evals_own_outputs(real_data: Path, output: str, results: str, top_k: int | None, complete: bool) -> None:
    folder = real_data / "fixtures" / "trec_eval_test"
    run = read_run(folder / results)
    run = run.top(top_k) if top_k else run
    # Without -c trec_eval takes the mean over the queries of the run only.
    qrels = [qrel for qrel in read_qrels(folder / "qrels.test") if complete or qrel.query_id in run]
    check_against(trec_output(folder / output), score_run(qrels, run, tuple(TREC_NAMES.values())), TREC_NAMES)


@pytest.mark.real_data
def test_trec_evals_own_output_at_a_higher_grade(real_data: Path) -> None:
    folder = real_data / "fixtures" / "trec_eval_test"
    names = {
        trec: name.replace("@", "(rel=2)@") if "@" in name else f"{name}(rel=2)"
        for trec, name in TREC_NAMES.items()
        if trec not in GRADELESS
    }
    run = read_run(folder / "results.test")
    qrels = [qrel for qrel in read_qrels(folder / "qrels.rel_level") if qrel.query_id in run]
    check_against(trec_output(folder / "out.test.aql"), score_run(qrels, run, tuple(names.values())), names)


def check_against(expected: dict[tuple[str, str], str], scores: Scores, names: dict[str, str]) -> None:
    compared = 0
    for (trec_name, query_id), value in expected.items():
        if trec_name in names:
            name = names[trec_name]
            found = scores.mean[name] if query_id == "all" else scores.per_query[name][query_id]
            assert f"{found:.4f}" == value, (trec_name, query_id)
            compared += 1
    assert compared >= 13


@pytest.mark.real_data
@pytest.mark.parametrize("key", ["bright/aops_text", "beir/scifact", "classic/cranfield", "classic/cacm"])
def test_recorded_baselines(real_data: Path, key: str) -> None:
    baselines = json.loads((real_data / "bm25_baselines.json").read_text())
    expected = baselines[key.replace("/", "_") if "bright" in key else key.split("/")[1]]
    folder = real_data / key
    run = read_run(folder / "bm25_top100.trec.gz")
    qrels = read_qrels(folder / ("qrels.test.tsv" if "scifact" in key else "qrels.tsv"))
    scores = score_run(qrels, run, ("nDCG@10", "R@100", "AP", "RR"))
    # CACM's baseline kept ties in corpus order, which its file, with scores of 6 digits, does not.
    tolerance = 2e-4 if key == "classic/cacm" else 5e-5
    assert scores.query_count == expected["n_queries"]
    for name, recorded in (
        ("nDCG@10", "ndcg_cut_10"),
        ("R@100", "recall_100"),
        ("AP", "map"),
        ("RR", "recip_rank"),
    ):
        assert scores.mean[name] == pytest.approx(expected[recorded], abs=tolerance)
    ceiling = score_run(qrels, ideal_run(qrels, run)).mean["nDCG@10"]
    assert ceiling == pytest.approx(expected["oracle_rerank_ndcg10"], abs=5e-5)


@pytest.mark.real_data
def test_trec_dl_2019(real_data: Path) -> None:
    folder = real_data / "trecdl"
    qrels = read_qrels(folder / "qrels.dl19-passage.txt")
    for name, expected in (("bm25", "0.5058"), ("vicuna7b", "0.5058"), ("gpt35turbo", "0.6799")):
        run = read_run(folder / "runs" / f"{name}_dl19.txt.gz")
        assert f"{score_run(qrels, run).mean['nDCG@10']:.4f}" == expected, name


@pytest.mark.real_data
def test_published_bright_runs(real_data: Path) -> None:
    folder = real_data / "bright"
    expected = json.loads((folder / "runs" / "expected.json").read_text())["recomputed_ndcg10_original_qrels"]
    folders = {"reasonir": "reasonir_gpt4cot_top100"}
    for system, by_task in expected.items():
        for task, value in by_task.items():
            run = read_run(folder / "runs" / folders.get(system, system) / f"{task}.trec.gz")
            found = score_run(read_qrels(folder / "qrels" / f"{task}.txt"), run).mean["nDCG@10"]
            assert found == pytest.approx(value, abs=5.1e-5), (system, task)
