"""Stored runs are compared like rerankers: ties are told, excluded documents taken out, tasks averaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from interank.artifact import Artifact
from interank.cli.app import main
from interank.errors import InputError
from interank.ir.measures import score_run
from interank.ir.trec import read_qrels, read_run
from interank.recipe import EvaluateRecipe
from interank.stages import evaluate
from tests.support.benchmark import write_jsonl

DOCUMENTS = [f"d{n}" for n in range(8)]
QUERIES = [f"q{n}" for n in range(5)]


def bright_folder(folder: Path, relevant: Mapping[str, Sequence[str]], excluded: Mapping[str, Sequence[str]]) -> Path:
    """A task with the documents d0 to d7."""
    folder.mkdir(parents=True)
    write_jsonl(folder / "corpus.jsonl", [{"id": name, "content": f"fox {name}"} for name in DOCUMENTS])
    rows = [
        {"id": name, "query": "fox?", "gold_ids": list(ids), "excluded_ids": list(excluded.get(name, ["N/A"]))}
        for name, ids in relevant.items()
    ]
    write_jsonl(folder / "queries.jsonl", rows)
    return folder


def run_file(path: Path, rankings: Mapping[str, Sequence[str]], *, tied: bool = False) -> Path:
    lines = [
        f"{query_id} Q0 {doc_id} {rank} {1 if tied else 100 - rank} x\n"
        for query_id, ids in rankings.items()
        for rank, doc_id in enumerate(ids, start=1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def evaluated(benchmark: Path, out: Path, **settings: Any) -> Artifact:
    return evaluate.run(EvaluateRecipe(stage="evaluate", benchmark=benchmark, **settings), out)


def found(artifact: Artifact, name: str) -> Any:
    return json.loads((artifact.path / name).read_text("utf-8"))


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Query n has the relevant document n; q0 excludes d7."""
    return bright_folder(tmp_path / "task", {f"q{n}": [f"d{n}"] for n in range(5)}, {"q0": ["d7"]})


def test_a_stored_run_is_compared_with_the_candidates(benchmark: Path, tmp_path: Path) -> None:
    first = run_file(tmp_path / "first.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    better = {f"q{n}": [f"d{n}", *(d for d in DOCUMENTS if d != f"d{n}")] for n in range(5)}
    artifact = evaluated(benchmark, tmp_path / "out", run=first, runs=(run_file(tmp_path / "better.txt", better),))
    metrics = found(artifact, "metrics.json")
    assert list(metrics) == ["first stage", "better", "random order", "perfect order"]
    assert metrics["better"]["nDCG@10"]["mean"] == 1
    gain = metrics["better"]["nDCG@10"]["gain"]
    # q0's relevant document stands first in both; the other four gain, and 2 of 16 exchanges are as extreme.
    assert (gain["wins"], gain["ties"], gain["losses"]) == (4, 1, 0)
    assert gain["p"] == gain["p_corrected"] == 2 / 16
    (comparison,) = found(artifact, "comparisons.json")
    assert (comparison["system"], comparison["against"]) == ("better", "first stage")
    # The run to cite is the last system's, without what its query excludes.
    assert read_run(artifact.path / "run.trec").doc_ids("q1") == better["q1"]
    assert read_run(artifact.path / "run.trec").doc_ids("q0") == better["q0"][:-1]
    assert artifact.manifest["inputs"]["run.better"]["digest"]


def test_excluded_documents_leave_stored_runs_and_it_is_told(benchmark: Path, tmp_path: Path) -> None:
    first = run_file(tmp_path / "first.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    cheating = run_file(tmp_path / "cheating.trec", {"q0": ["d7", "d0"], "q1": ["d7", "d1"]})
    artifact = evaluated(benchmark, tmp_path / "out", run=first, runs=(cheating,), measures=("RR",))
    rows = [json.loads(line) for line in (artifact.path / "per_query.jsonl").read_text().splitlines()]
    assert [row["cheating"]["RR"] for row in rows] == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert artifact.manifest["notes"] == ["cheating on task: 1 documents that their query excludes were removed"]
    assert found(artifact, "candidates.json")["task"]["excluded_candidates_removed"] == 1


def test_ties_are_ordered_as_trec_eval_does_and_their_range_is_told(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_file(tmp_path / "first.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    tied = run_file(tmp_path / "tied.trec", dict.fromkeys(QUERIES, DOCUMENTS[:4]), tied=True)
    out = tmp_path / "out"
    arguments = [f"benchmark={benchmark}", f"run={first}", f"runs={tied}", "measures=RR"]
    assert main(["evaluate", "evaluate/benchmark", *arguments, "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    # d3 comes first of four; of q0 to q3 one is relevant each, of q4 none.
    assert "tied on task: 20 documents have tied scores" in printed
    lowest, highest = 4 * 0.25 / 5, 4 * 1 / 5
    assert f"another order would give RR {lowest:.4f} to {highest:.4f}" in printed
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["tied"]["ties"]["task"] == {"documents": 20, "ranges": {"RR": pytest.approx([lowest, highest])}}
    assert metrics["tied"]["RR"]["mean"] == pytest.approx((1 / 4 + 1 / 3 + 1 / 2 + 1) / 5)
    # As candidates they are told as well.
    again = evaluated(benchmark, tmp_path / "again", run=tied, measures=("RR",))
    assert again.manifest["notes"][0].startswith("first stage on task: 20 documents have tied scores")


def test_interank_score_tells_of_ties_too(benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("q0\td0\t1\n")
    tied = run_file(tmp_path / "tied.trec", {"q0": DOCUMENTS[:4]}, tied=True)
    assert main(["score", str(qrels), str(tied), "RR"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "RR  0.2500\n"
    assert "4 documents tie with another" in printed.err
    assert "RR 0.2500 to 1.0000" in printed.err


def test_a_run_of_other_queries_is_refused(benchmark: Path, tmp_path: Path) -> None:
    first = run_file(tmp_path / "first.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    other = run_file(tmp_path / "other.trec", {"elsewhere": DOCUMENTS})
    with pytest.raises(InputError, match=r"other\.trec .*none of the queries"):
        evaluated(benchmark, tmp_path / "out", run=first, runs=(other,))


def test_candidates_and_first_stage_exclude_each_other(benchmark: Path, tmp_path: Path) -> None:
    first = run_file(tmp_path / "first.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    with pytest.raises(InputError, match="candidates"):
        evaluated(benchmark, tmp_path / "out", run=first, first_stage="bm25q")


def test_several_tasks_are_averaged_by_task(tmp_path: Path) -> None:
    root = tmp_path / "suite"
    bright_folder(root / "easy", {name: ["d0"] for name in QUERIES}, {})
    bright_folder(root / "hard", {name: ["d4"] for name in QUERIES[:2]}, {})
    runs = tmp_path / "runs"
    for task in ("easy", "hard"):
        run_file(runs / f"{task}.trec", dict.fromkeys(QUERIES, DOCUMENTS))
    backwards = tmp_path / "backwards"
    for task in ("easy", "hard"):
        run_file(backwards / f"{task}.txt", dict.fromkeys(QUERIES, DOCUMENTS[::-1]))
    artifact = evaluated(root, tmp_path / "out", run=runs, runs=(backwards,), measures=("RR",))
    metrics = found(artifact, "metrics.json")
    assert metrics["first stage"]["tasks"]["easy"]["RR"]["mean"] == 1
    assert metrics["first stage"]["tasks"]["hard"]["RR"]["mean"] == pytest.approx(1 / 5)
    assert metrics["first stage"]["RR"]["mean"] == pytest.approx((1 + 1 / 5) / 2)
    assert metrics["first stage"]["queries"] == 7
    assert artifact.manifest["counts"] == {"tasks": 2, "queries": 7, "systems": 2}
    report = (artifact.path / "report.md").read_text()
    assert "| system | easy | hard | mean |" in report
    # Each task's run can be scored alone, and all together where their ids are led by the task.
    for task, gold in (("easy", "d0"), ("hard", "d4")):
        stored = read_run(artifact.path / "runs" / "first_stage" / f"{task}.trec")
        (tmp_path / "qrels").write_text("".join(f"{name}\t{gold}\t1\n" for name in stored))
        scored = score_run(read_qrels(tmp_path / "qrels"), stored, ["RR"]).mean["RR"]
        assert scored == metrics["first stage"]["tasks"][task]["RR"]["mean"]
    cited = read_run(artifact.path / "run.trec")
    assert set(cited) == {*(f"easy/{name}" for name in QUERIES), *(f"hard/{name}" for name in QUERIES[:2])}
    assert cited.doc_ids("easy/q0") == DOCUMENTS[::-1]
    rows = [json.loads(line) for line in (artifact.path / "per_query.jsonl").read_text().splitlines()]
    easy = fmean(row["backwards"]["RR"] for row in rows if row["task"] == "easy")
    assert metrics["backwards"]["tasks"]["easy"]["RR"]["mean"] == pytest.approx(easy)


def test_one_of_several_tasks_can_be_chosen(tmp_path: Path) -> None:
    root = tmp_path / "suite"
    bright_folder(root / "easy", {name: ["d0"] for name in QUERIES}, {})
    bright_folder(root / "hard", {name: ["d4"] for name in QUERIES}, {})
    artifact = evaluated(root, tmp_path / "out", tasks=("hard",))
    assert list(found(artifact, "candidates.json")) == ["hard"]
    with pytest.raises(InputError, match=r"eazy.*easy"):
        evaluated(root, tmp_path / "other", tasks=("eazy",))
    with pytest.raises(InputError, match=r"TASK\.trec"):
        run = run_file(tmp_path / "one.trec", {"q0": ["d0"]})
        evaluated(root, tmp_path / "other", run=run)


def test_candidates_say_where_they_come_from(benchmark: Path, tmp_path: Path) -> None:
    one = found(evaluated(benchmark, tmp_path / "one"), "candidates.json")["task"]
    two = found(evaluated(benchmark, tmp_path / "two", first_stage="bm25q", depth=3), "candidates.json")["task"]
    assert (one["first_stage"], two["first_stage"]) == ("bm25", "bm25q")
    assert (one["depth"], two["depth"]) == (100, 3)
    assert one["digest"] != two["digest"]
    again = found(evaluated(benchmark, tmp_path / "three"), "candidates.json")["task"]
    assert again == one


def test_the_first_stage_can_be_asked_something_else(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "task", {"q0": ["d3"]}, {})
    asked = write_jsonl(tmp_path / "rewritten.jsonl", [{"_id": "q0", "text": "d3"}])
    plain = evaluated(folder, tmp_path / "plain", depth=1)
    rewritten = evaluated(folder, tmp_path / "rewritten", depth=1, first_stage_queries=str(asked))
    assert found(plain, "metrics.json")["first stage"]["nDCG@10"]["mean"] == 0
    assert found(rewritten, "metrics.json")["first stage"]["nDCG@10"]["mean"] == 1
    assert found(rewritten, "candidates.json")["task"]["first_stage_queries"] == str(asked)
    write_jsonl(asked, [{"_id": "other", "text": "d3"}])
    with pytest.raises(InputError, match="1 of the 1 query "):
        evaluated(folder, tmp_path / "missing", first_stage_queries=str(asked))


@pytest.mark.real_data
def test_published_runs_on_bright_score_what_was_published(real_data: Path, tmp_path: Path) -> None:
    bright = real_data / "bright"
    names = ("biology", "economics", "pony")
    artifact = evaluated(
        bright,
        tmp_path / "out",
        tasks=names,
        run=bright / "runs" / "reasonir_gpt4cot_top100",
        runs=(bright / "runs" / "xrr2_qe", bright / "runs" / "xrr2_rr"),
    )
    expected = json.loads((bright / "runs" / "expected.json").read_text())["recomputed_ndcg10_original_qrels"]
    metrics = found(artifact, "metrics.json")
    systems = {"reasonir": "first stage", "xrr2_qe": "xrr2_qe", "xrr2_rr": "xrr2_rr"}
    for published, system in systems.items():
        for task in names:
            assert round(metrics[system]["tasks"][task]["nDCG@10"]["mean"], 4) == expected[published][task]
        assert metrics[system]["nDCG@10"]["mean"] == pytest.approx(fmean(expected[published].values()), abs=1e-4)
    comparisons = {(c["system"], c["against"]): c for c in found(artifact, "comparisons.json")}
    # Query expansion moves the mean by .004 and each task by far more: not significant. Reranking on top is.
    assert comparisons["xrr2_qe", "first stage"]["p_corrected"] > 0.05
    assert comparisons["xrr2_rr", "first stage"]["p_corrected"] < 0.001
    fixed = evaluated(
        bright,
        tmp_path / "fixed",
        tasks=("pony",),
        run=bright / "runs" / "xrr2_rr" / "pony.trec.gz",
        qrels_form="fixed",
    )
    assert found(fixed, "candidates.json")["pony"]["qrels"] == "fixed"
