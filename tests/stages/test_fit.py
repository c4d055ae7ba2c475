"""What is fitted on one split and used on another: in evaluate, in the library and on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError, InputError
from interank.evaluation.fitting import FitSettings
from interank.ir.calibration import calibration
from interank.ir.measures import score_run
from interank.ir.trec import read_qrels, read_run
from interank.reranking.fitting import Fit, Isotonic, read_fit
from interank.reranking.reranker import Reranker
from interank.stages.fit import fit
from interank.types import Document, Query
from tests.support import rule
from tests.support.benchmark import write_jsonl
from tests.support.splits import QUERIES, evaluated, rows, two_splits

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two splits with one corpus."""
    folder = tmp_path_factory.mktemp("fit")
    two_splits(folder / "benchmark")
    return folder


@pytest.fixture(scope="module")
def dev(place: Path, tiny_adapter: Path) -> Path:
    return evaluated(place, "dev", split="dev", adapters=(tiny_adapter,))


@pytest.fixture(scope="module")
def fitted(place: Path, dev: Path) -> Path:
    fit(dev, place / "fit.json", FitSettings(fusion="minmax", coverage=0.5, label_mass=0.0))
    return place / "fit.json"


@pytest.fixture(scope="module")
def measured(place: Path, tiny_adapter: Path, fitted: Path) -> Path:
    return evaluated(place, "measured", split="test", adapters=(tiny_adapter,), fits=(fitted,))


def metrics(path: Path) -> dict[str, Any]:
    return dict(json.loads((path / "metrics.json").read_text("utf-8")))


def test_a_fit_says_what_it_is_of(place: Path, dev: Path, fitted: Path, tiny_adapter: Path) -> None:
    found = read_fit(fitted)
    assert found.origin.evaluation == open_artifact(dev).digest
    assert found.origin.model == open_artifact(tiny_adapter).digest
    assert (found.origin.mode, found.origin.measure, found.origin.relevant_from) == ("score", "nDCG@10", 1)
    assert sorted(found.origin.queries.values()) == sorted(rows(dev / "rankings" / "adapter.jsonl"))
    assert found.origin.tasks["benchmark"].first_stage == "bm25"
    assert "benchmark (dev)'s qrels grade the document 1 or higher, among candidates of bm25" in found.origin.predicts


def test_the_weight_is_the_one_that_did_best_there(place: Path, dev: Path, fitted: Path) -> None:
    found = read_fit(fitted)
    tried = found.tried["fusion"]["minmax"]
    assert found.fusion is not None
    assert tried[round(found.fusion.weight * 20)] == pytest.approx(max(tried), abs=1e-9)
    own = metrics(dev)
    assert tried[0] == pytest.approx(own["first stage"]["nDCG@10"]["mean"])
    assert tried[20] == pytest.approx(own["adapter"]["nDCG@10"]["mean"])


def test_both_are_scored_side_by_side_with_what_calibration_did(place: Path, measured: Path) -> None:
    found = metrics(measured)
    assert list(found)[:3] == ["first stage", "adapter", "adapter, fused"]
    assert "calibrated" not in found["adapter"]
    ours = found["adapter, fused"]
    before, after, abstention = ours["calibration"], ours["calibrated"], ours["abstention"]
    assert before["expected_error"] == found["adapter"]["calibration"]["expected_error"]
    # Candidates are mostly irrelevant, which an untrained model does not know and the fit does.
    assert after["expected_error"] < before["expected_error"]
    for part in (before, after):
        assert 0 <= part["low"] <= part["expected_error"] <= part["high"] <= 1
    assert after["improvement"]["mean"] == pytest.approx(before["expected_error"] - after["expected_error"])
    assert after["improvement"]["low"] <= after["improvement"]["mean"] <= after["improvement"]["high"]
    told = rows(measured / "rankings" / "adapter, fused.jsonl")
    qrels = {(q.query_id, q.doc_id) for q in read_qrels(place / "benchmark" / "qrels.test.tsv") if q.relevance}
    pairs = [(i["probability"], (name, i["doc_id"]) in qrels) for name, row in told.items() for i in row["ranking"]]
    assert calibration(*zip(*pairs, strict=True)).expected_error == pytest.approx(after["expected_error"])  # type: ignore[arg-type]
    answered = [name for name, row in told.items() if not row["abstain"]]
    assert abstention["coverage"]["mean"] == len(answered) / QUERIES
    values = score_run(
        read_qrels(place / "benchmark" / "qrels.test.tsv"), read_run(measured / "runs" / "adapter,_fused.trec")
    ).per_query["nDCG@10"]
    if answered:
        assert abstention["answered"]["mean"] == pytest.approx(sum(values[n] for n in answered) / len(answered))
    report = (measured / "report.md").read_text()
    assert "## Fitted on other queries" in report
    assert f"fitted on {QUERIES} other queries of benchmark (dev)" in report


def test_the_library_makes_of_it_what_the_evaluation_does(
    place: Path, tiny_adapter: Path, fitted: Path, measured: Path
) -> None:
    reranker = Reranker(tiny_adapter).with_fit(fitted)
    corpus = {row["_id"]: Document(row["_id"], row["text"]) for row in _jsonl(place / "benchmark" / "corpus.jsonl")}
    queries = [Query(row["_id"], row["text"]) for row in _jsonl(place / "benchmark" / "queries.test.jsonl")]
    first = read_run(measured / "runs" / "first_stage.trec")
    ours = reranker.rerank(queries, first, corpus)
    expected = read_run(measured / "runs" / "adapter,_fused.trec")
    assert {name: ours.doc_ids(name) for name in ours} == {name: expected.doc_ids(name) for name in expected}
    told = rows(measured / "rankings" / "adapter, fused.jsonl")
    by_hand = read_fit(fitted).calibrator
    assert by_hand is not None
    plain = {name: row["ranking"] for name, row in rows(measured / "rankings" / "adapter.jsonl").items()}
    for query in queries:
        found = {item["doc_id"]: item["probability"] for item in told[query.query_id]["ranking"]}
        assert found == {i["doc_id"]: by_hand.probability(i["score"]) for i in plain[query.query_id]}
    with pytest.raises(InputError, match="needs only their order"):
        reranker.rank(queries[0], list(corpus.values())[:3])


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_ties_of_the_probability_are_none_of_the_ranking(
    place: Path, dev: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    made = fit(dev, tmp_path / "steps.json", FitSettings(fusion="none", calibrator="isotonic"))
    assert isinstance(made.calibrator, Isotonic)
    documents = [rule.document_text("red", animal, where) for animal in rule.ANIMALS for where in rule.PLACES]
    plain, fused = Reranker(tiny_adapter), Reranker(tiny_adapter).with_fit(tmp_path / "steps.json")
    before, after = (reranker.rank("Where is the red fox?", documents) for reranker in (plain, fused))
    assert [(item.doc_id, item.score) for item in after] == [(item.doc_id, item.score) for item in before]
    assert len({item.probability for item in after}) < len({item.score for item in after}) == len(documents)


@pytest.mark.parametrize("moved", [False, True])
def test_what_it_was_fitted_on_is_not_measured_with_it(
    place: Path, tiny_adapter: Path, fitted: Path, moved: bool, tmp_path: Path
) -> None:
    benchmark = place / "benchmark"
    if moved:
        # Another folder, other ids: the questions tell.
        benchmark = Path(shutil.copytree(benchmark, tmp_path / "other"))
        for name in ("queries.dev.jsonl", "qrels.dev.tsv"):
            file = benchmark / name
            file.write_text(
                file.read_text().replace('{"_id": "', '{"_id": "x-').replace("\nvalidation", "\nx-validation")
            )
    with pytest.raises(InputError, match="fitted on 6 of the 6 queries"):
        evaluated(place, "refused", benchmark=benchmark, split="dev", adapters=(tiny_adapter,), fits=(fitted,))
    assert not (place / "refused").exists()


def test_some_of_them_are_enough_to_refuse(place: Path, tiny_adapter: Path, fitted: Path, tmp_path: Path) -> None:
    benchmark = Path(shutil.copytree(place / "benchmark", tmp_path / "other"))
    for name in ("queries.{}.jsonl", "qrels.{}.tsv"):
        lines = (benchmark / name.format("dev")).read_text().splitlines(keepends=True)
        with (benchmark / name.format("test")).open("a") as stream:
            stream.writelines(line for line in lines if "-0" in line.partition("\t")[0].partition("text")[0])
    with pytest.raises(InputError, match="fitted on 1 of the 7 queries"):
        evaluated(place, "refused", benchmark=benchmark, split="test", adapters=(tiny_adapter,), fits=(fitted,))


def test_a_fit_belongs_to_its_model_and_mode(
    place: Path, tiny_adapter: Path, tiny_folder: Path, fitted: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"adapter.*\(tiny\).* 0 of them"):
        evaluated(place, "refused", split="test", adapters=(tiny_folder,), fits=(fitted,))
    with pytest.raises(InputError, match=r"mode score.*reason"):
        evaluated(place, "refused", split="test", adapters=(tiny_adapter,), fits=(fitted,), mode="reason")
    with pytest.raises(InputError, match="gives positions, not scores"):
        evaluated(place, "refused", split="test", adapters=(tiny_adapter,), fits=(fitted,), mode="listwise")
    with pytest.raises(InputError, match=r"adapter .*no artifact"):
        Reranker(tiny_folder).with_fit(fitted)
    with pytest.raises(InputError, match=r"mode score.*reason"):
        Reranker(tiny_adapter, mode="reason").with_fit(fitted)
    Reranker(tiny_adapter, mode="explain").with_fit(fitted)


def test_what_cannot_be_fitted_to_is_refused(place: Path, dev: Path, measured: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dev has no reranker.*--system adapter"):
        fit(dev, tmp_path / "fit.json", FitSettings(system="no such"))
    with pytest.raises(InputError, match=r"measured has no reranker.*--system adapter"):
        fit(measured, tmp_path / "fit.json", FitSettings(system="adapter, fused"))
    with pytest.raises(InputError, match="coverage is 0"):
        fit(dev, tmp_path / "fit.json", FitSettings(coverage=0))
    (tmp_path / "fit.json").write_text("{}")
    with pytest.raises(ArtifactError, match="--overwrite"):
        fit(dev, tmp_path / "fit.json", FitSettings())
    made = fit(dev, tmp_path / "fit.json", FitSettings(calibrator="none"), overwrite=True)
    assert (made.calibrator, made.abstention) == (None, None)


def test_the_command_fits_and_ranks_with_the_fit(
    place: Path, dev: Path, tiny_adapter: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "fit.json"
    assert main(["fit", str(dev), "--out", str(out), "--coverage", "1", "--label-mass", "1.1"]) == 0
    said = capsys.readouterr().out
    assert "fusion: " in said and "calibrator: " in said and said.endswith(f"{out}\n")
    command = ["rerank", str(tiny_adapter), "--corpus", str(place / "benchmark"), "--fit", str(out), "--json"]
    assert main([*command, "--split", "dev", "--top-k", "3"]) == 0
    printed, warned = capsys.readouterr()
    found = [json.loads(line) for line in printed.splitlines()]
    # No label mass is 1.1.
    assert [row["abstain"] for row in found] == [True] * QUERIES
    assert all(0 < item["probability"] < 1 for row in found for item in row["ranking"])
    assert f"was fitted on {QUERIES} of these queries" in warned
    assert main([*command, "--split", "test", "--top-k", "3"]) == 0
    assert "was fitted on" not in capsys.readouterr().err


def test_requests_bring_the_first_stage_s_scores(
    dev: Path, tiny_adapter: Path, tmp_path: Path, capsys: Capture
) -> None:
    made: Fit = fit(dev, tmp_path / "fit.json", FitSettings(fusion="zscore"))
    assert made.fusion is not None
    documents = [
        {"docid": f"d{n}", "score": 9.0 - n, "doc": {"contents": f"A {a}."}} for n, a in enumerate(rule.ANIMALS)
    ]
    asked = [{"query": {"text": "Where is the fox?", "qid": "r"}, "candidates": documents}]
    command = ["rerank", str(tiny_adapter), "--fit", str(tmp_path / "fit.json"), "--json", "--requests"]
    assert main([*command, str(write_jsonl(tmp_path / "scored.jsonl", asked))]) == 0
    row = json.loads(capsys.readouterr().out)
    plain = {
        item.doc_id: item
        for item in Reranker(tiny_adapter).rank("Where is the fox?", [f"A {a}." for a in rule.ANIMALS])
    }
    fused = made.fusion.fused([plain[str(n)].score for n in range(8)], [9.0 - n for n in range(8)])
    order = sorted(range(8), key=lambda place: -fused[place])
    assert [item["doc_id"] for item in row["ranking"]] == [f"d{place}" for place in order]
    del documents[0]["score"]
    assert main([*command, str(write_jsonl(tmp_path / "plain.jsonl", asked))]) == 1
    assert "first stage's scores" in capsys.readouterr().err
