"""evaluate leaves runs, figures and a report that agree with each other, and the same bytes each time."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from pydantic import ValidationError

from interank.artifact import Artifact, describe_input, open_artifact
from interank.cli.app import main
from interank.engines.reward_adapter import Explanation, open_reward
from interank.errors import InputError, InterankError
from interank.ir.measures import score_run
from interank.ir.trec import read_qrels, read_run
from interank.recipe import EvaluateRecipe
from interank.stages import evaluate
from tests.support.adapters import tiny_adapter as make_adapter
from tests.support.benchmark import benchmark_folder
from tests.support.reward_models import tiny_reward
from tests.support.tiny import strong_model, tiny_model

QUERIES, DOCUMENTS, DEPTH = 3, 5, 6
MEASURES = ("nDCG@10", "RR")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark."""
    found = tmp_path_factory.mktemp("evaluate")
    benchmark_folder(found / "benchmark", queries=QUERIES, documents=DOCUMENTS)
    return found


def evaluated(folder: Path, name: str, **settings: Any) -> Artifact:
    given: dict[str, Any] = {
        "benchmark": folder / "benchmark",
        "depth": DEPTH,
        "measures": MEASURES,
        "max_reasoning_tokens": 8,
    }
    return evaluate.run(EvaluateRecipe(stage="evaluate", **(given | settings)), folder / name)


@pytest.fixture(scope="module")
def artifact(folder: Path, tiny_adapter: Path) -> Artifact:
    """An evaluation of the tiny adapter."""
    return evaluated(folder, "first", adapters=(tiny_adapter,), explain=2)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def metrics(artifact: Artifact) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((artifact.path / "metrics.json").read_text("utf-8"))
    return found


def test_twice_the_same_is_the_same_byte_for_byte(folder: Path, artifact: Artifact, tiny_adapter: Path) -> None:
    again = evaluated(folder, "second", adapters=(tiny_adapter,), explain=2)
    assert {
        "run.trec",
        "runs/first_stage.trec",
        "runs/adapter.trec",
        "rankings/adapter.jsonl",
        "metrics.json",
        "per_query.jsonl",
        "example.txt",
    } <= set(artifact.manifest["files"])
    assert again.manifest == artifact.manifest
    for name in artifact.manifest["files"]:
        assert (again.path / name).read_bytes() == (artifact.path / name).read_bytes()


def test_the_artifact_is_whole_and_nothing_unfinished_is_left(artifact: Artifact) -> None:
    assert open_artifact(artifact.path, "evaluation").manifest == artifact.manifest
    assert artifact.manifest["counts"] == {"tasks": 1, "queries": QUERIES, "systems": 2}
    assert not (artifact.path / "work").exists()
    assert not list(artifact.path.parent.glob(".*.partial"))


def test_the_manifest_names_what_went_in(folder: Path, artifact: Artifact, tiny_adapter: Path) -> None:
    inputs = artifact.manifest["inputs"]
    assert set(inputs) == {"benchmark", "adapter.adapter"}
    assert inputs["benchmark"]["path"] == "../benchmark"
    assert inputs["benchmark"] == describe_input(folder / "benchmark", artifact.path)
    assert inputs["adapter.adapter"]["kind"] == "adapter"
    assert inputs["adapter.adapter"]["digest"] == open_artifact(tiny_adapter).digest
    assert {given["name"] for given in artifact.lineage()} == {"benchmark", "adapter.adapter", "judgments"}


def test_another_benchmark_is_another_input(folder: Path, artifact: Artifact, tmp_path: Path) -> None:
    other = benchmark_folder(tmp_path / "benchmark", queries=QUERIES, documents=DOCUMENTS - 1)
    assert describe_input(other, artifact.path)["digest"] != artifact.manifest["inputs"]["benchmark"]["digest"]


def test_the_adapter_ranks_the_first_stage_s_candidates(artifact: Artifact) -> None:
    first, ours = (read_run(artifact.path / "runs" / f"{name}.trec") for name in ("first_stage", "adapter"))
    assert list(first) == list(ours)
    assert len(first) == QUERIES
    for name in first:
        assert len(first.doc_ids(name)) <= DEPTH
        assert sorted(first.doc_ids(name)) == sorted(ours.doc_ids(name))
    assert any(first.doc_ids(name) != ours.doc_ids(name) for name in first)


def test_scores_in_the_run_files_fall_strictly(artifact: Artifact) -> None:
    for path in (artifact.path / "run.trec", *sorted((artifact.path / "runs").iterdir())):
        lines = [line.split(" ") for line in path.read_text().splitlines()]
        for name in {line[0] for line in lines}:
            scores = [float(line[4]) for line in lines if line[0] == name]
            assert all(above > below for above, below in pairwise(scores)), path
            assert [int(line[3]) for line in lines if line[0] == name] == list(range(1, len(scores) + 1))


def test_the_rankings_are_those_of_the_run(artifact: Artifact) -> None:
    ours = read_run(artifact.path / "runs" / "adapter.trec")
    found = rows(artifact.path / "rankings" / "adapter.jsonl")
    assert {row["query_id"]: [item["doc_id"] for item in row["ranking"]] for row in found} == {
        name: ours.doc_ids(name) for name in ours
    }
    assert all("seconds" not in row for row in found)
    explained = [item["explanation"] is not None for row in found for item in row["ranking"]]
    # Two of the first query's documents, as was asked for.
    assert [place for place, given in enumerate(explained) if given] == [0, 1]


def test_interank_score_gives_the_run_what_the_metrics_say(
    folder: Path, artifact: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    qrels, run = folder / "benchmark" / "qrels.tsv", artifact.path / "run.trec"
    assert main(["score", str(qrels), str(run), *MEASURES, "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    ours = metrics(artifact)["adapter"]
    assert printed == {measure: pytest.approx(ours[measure]["mean"], abs=1e-12) for measure in MEASURES}


def test_every_system_s_values_by_query_are_those_of_its_run(folder: Path, artifact: Artifact) -> None:
    qrels = read_qrels(folder / "benchmark" / "qrels.tsv")
    found = rows(artifact.path / "per_query.jsonl")
    for name, file in (("first stage", "first_stage"), ("adapter", "adapter")):
        scored = score_run(qrels, read_run(artifact.path / "runs" / f"{file}.trec"), MEASURES)
        for measure in MEASURES:
            assert {row["query_id"]: row[name][measure] for row in found} == scored.per_query[measure]


def test_values_by_query_agree_with_the_metrics(artifact: Artifact) -> None:
    found = rows(artifact.path / "per_query.jsonl")
    assert len(found) == QUERIES
    for name, system in metrics(artifact).items():
        assert system["queries"] == QUERIES
        for measure in MEASURES:
            assert system[measure]["mean"] == pytest.approx(fmean(row[name][measure] for row in found))
            if name != "first stage":
                gains = [row[name][measure] - row["first stage"][measure] for row in found]
                assert system[measure]["gain"]["mean"] == pytest.approx(fmean(gains))


def test_the_report_holds_the_same_figures_and_the_example(artifact: Artifact) -> None:
    report = (artifact.path / "report.md").read_text("utf-8")
    for name, system in metrics(artifact).items():
        line = next(line for line in report.splitlines() if line.startswith(f"| {name} |"))
        value = system["nDCG@10"]
        assert f"| {value['mean']:.4f} | {value['low']:.4f} to {value['high']:.4f} |" in line
    shown = (artifact.path / "example.txt").read_text("utf-8").splitlines()
    assert shown[0].startswith("Query: ")
    assert sum(line.startswith("     why: ") for line in shown) == 2
    assert all(f"    {line}\n" in report for line in shown)
    cost = json.loads((artifact.path / "cost.json").read_text("utf-8"))
    assert set(cost["per_query"]) == {"first stage", "adapter"}
    assert cost["per_query"]["adapter"]["seconds"] > 0


def test_without_adapters_the_first_stage_is_scored_alone(folder: Path) -> None:
    alone = evaluated(folder, "alone")
    assert set(metrics(alone)) == {"first stage", "random order", "perfect order"}
    assert (alone.path / "run.trec").read_bytes() == (alone.path / "runs" / "first_stage.trec").read_bytes()
    assert (alone.path / "example.txt").read_text("utf-8").strip() == ""
    assert not (alone.path / "rankings").exists()
    assert set(alone.manifest["inputs"]) == {"benchmark"}


def test_the_reasons_are_written_before_the_grades_in_reason_mode(folder: Path, tiny_adapter: Path) -> None:
    reasoned = evaluated(folder, "reasoned", adapters=(tiny_adapter,), mode="reason", queries=1, depth=2)
    (row,) = rows(reasoned.path / "rankings" / "adapter.jsonl")
    assert len(row["ranking"]) == 2
    assert "- mode: reason" in (reasoned.path / "report.md").read_text("utf-8")


def test_an_evaluation_s_run_can_be_another_s_first_stage(folder: Path, artifact: Artifact) -> None:
    again = evaluated(folder, "again", run=artifact.path / "run.trec")
    for measure in MEASURES:
        ours, first = metrics(artifact)["adapter"][measure], metrics(again)["first stage"][measure]
        assert [first[key] for key in ("mean", "low", "high")] == [ours[key] for key in ("mean", "low", "high")]
    assert "run" in again.manifest["inputs"]


def test_adapters_of_one_name_are_told_apart(folder: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    other = tmp_path / tiny_adapter.name
    shutil.copytree(tiny_adapter, other)
    twice = evaluated(folder, "twice", adapters=(tiny_adapter, other), queries=1, depth=2)
    assert list(metrics(twice))[:3] == ["first stage", "adapter-1", "adapter-2"]
    one, two = ((twice.path / "rankings" / f"adapter-{n}.jsonl").read_bytes() for n in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    "names", [["adapter", "adapter", "adapter-2"], ["first stage"], ["first_stage"], ["perfect order"]]
)
def test_no_adapter_takes_another_system_s_place(
    folder: Path, tiny_adapter: Path, tmp_path: Path, names: list[str]
) -> None:
    adapters = []
    for number, name in enumerate(names):
        adapters.append(tmp_path / str(number) / name)
        shutil.copytree(tiny_adapter, adapters[-1])
    found = evaluated(folder, "-".join(names), adapters=tuple(adapters), queries=1, depth=2)
    assert len(metrics(found)) == len(names) + 3
    assert len(list((found.path / "runs").iterdir())) == len(names) + 1


def test_marks_of_explanations_need_a_reader(folder: Path, tiny_adapter: Path) -> None:
    with pytest.raises(InputError, match=r"evaluate needs explanations\.reader; add explanations\.reader=PATH"):
        evaluated(folder, "unread", adapters=(tiny_adapter,), explain=1, explanations={})
    assert not (folder / "unread").exists()


def test_a_reader_that_judges_no_single_documents_is_refused(folder: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    given = {"adapters": (tiny_adapter,), "explain": 1, "explanations": {"reader": other}}
    for key, value, told in [
        ("prompt_hash", "0123456789abcdef", r"explanations\.reader.*another wording of the prompt \(0123456789abcdef"),
        ("task", "order", r"explanations\.reader.*was trained for task order.*an adapter of task judge"),
    ]:
        shutil.copytree(tiny_adapter, other, dirs_exist_ok=True)
        manifest = other / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: value}))
        with pytest.raises(InputError, match=told):
            evaluated(folder, "misread", **given)
    assert not (folder / "misread").exists()


@pytest.mark.parametrize("mode", [{}, {"mode": "listwise", "explain": 3}])
def test_marks_of_explanations_that_nobody_writes_are_refused(mode: dict[str, Any]) -> None:
    asked = {"stage": "evaluate", "explanations": {"reader": "runs/a"}}
    with pytest.raises(ValidationError, match=r"explanations: .*writes none; set mode: score and explain: 10"):
        EvaluateRecipe.model_validate({**asked, **mode})
    for fine in ({"explain": 1}, {"mode": "reason"}, {"chain": ({"model": "runs/b", "mode": "reason"},)}):
        EvaluateRecipe.model_validate({**asked, **fine})


def test_a_benchmark_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="benchmark=PATH"):
        evaluate.run(EvaluateRecipe(stage="evaluate"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["benchmark", "adapters", "run"])
def test_a_wrong_input_leaves_nothing_in_the_way_of_the_right_one(folder: Path, wrong: str, tmp_path: Path) -> None:
    right: dict[str, Any] = {"benchmark": folder / "benchmark", "depth": 2}
    missing = tmp_path / "missing"
    given = (missing,) if wrong == "adapters" else missing
    with pytest.raises(InterankError, match="missing"):
        evaluate.run(EvaluateRecipe(stage="evaluate", **{**right, wrong: given}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert evaluate.run(EvaluateRecipe(stage="evaluate", **right), tmp_path / "out").kind == "evaluation"


def test_explanations_are_marked_beside_the_measures(folder: Path, tmp_path: Path) -> None:
    # A random model of larger weights writes something at least.
    adapter = make_adapter(strong_model(tmp_path / "base"), tmp_path)
    given = {"adapters": (adapter,), "explain": 3, "explained_queries": 3, "max_reasoning_tokens": 12}
    marked = evaluated(folder, "marked", **given, explanations={"reader": adapter})
    told = metrics(marked)["adapter"]["explanations"]["marks"]
    assert set(told) == {"stance", "support"}
    found = {
        row["query_id"]: row["marks"] for row in rows(marked.path / "rankings" / "adapter.jsonl") if "marks" in row
    }
    for name, figure in told.items():
        values = [[each[name] for each in of.values() if each[name] is not None] for of in found.values()]
        # The mean of the queries' means.
        assert figure["mean"] == pytest.approx(fmean(fmean(own) for own in values if own))
        assert figure["count"] == sum(map(len, values)) > 0
        assert figure["low"] <= figure["mean"] <= figure["high"]
    assert "## Marks of explanations" in (marked.path / "report.md").read_text()
    # Of what is explained the example is the one in the middle.
    values = {row["query_id"]: row["adapter"]["nDCG@10"] for row in rows(marked.path / "per_query.jsonl")}
    explained = {
        row["query_id"]: row["ranking"][0]["doc_id"]
        for row in rows(marked.path / "rankings" / "adapter.jsonl")
        if any(item["explanation"] for item in row["ranking"])
    }
    median = sorted(values[name] for name in explained)[(len(explained) - 1) // 2]
    _, told, first, *_ = (marked.path / "example.txt").read_text("utf-8").splitlines()
    assert told.startswith(f"(nDCG@10 {median:.4f}, the median of the explained rankings (3) by adapter")
    assert ("; its first document is not judged relevant" in told) == ("judged 1" not in first)


def test_a_reward_model_marks_each_explanation_by_the_sigmoid_of_its_score(folder: Path, tmp_path: Path) -> None:
    base = strong_model(tmp_path / "base")
    adapter, model = make_adapter(base, tmp_path), tiny_reward(base, tmp_path)
    given = {"adapters": (adapter,), "explain": 3, "explained_queries": 3, "max_reasoning_tokens": 12}
    rewards = ({"use": "explanation_quality", "params": {"model": str(model.path)}},)
    marked = evaluated(folder, "by-model", **given, explanations={"reader": adapter, "rewards": rewards})
    queries = {row["_id"]: row["text"] for row in rows(folder / "benchmark" / "queries.jsonl")}
    documents = {row["_id"]: row["text"] for row in rows(folder / "benchmark" / "corpus.jsonl")}
    alone = open_reward(model.path)
    means, told = [], []
    for row in rows(marked.path / "rankings" / "adapter.jsonl"):
        explained = {item["doc_id"]: item["explanation"] for item in row["ranking"] if item["explanation"]}
        scores = [
            alone([Explanation(queries[row["query_id"]], documents[doc_id], text)])[0]
            for doc_id, text in explained.items()
        ]
        own = [1 / (1 + math.exp(-score)) for score in scores]
        assert set(row["marks"]) == set(explained)
        assert [row["marks"][doc_id]["explanation_quality"] for doc_id in explained] == pytest.approx(own, abs=1e-5)
        means.append(fmean(own))
        told += own
    assert len(means) == QUERIES
    assert max(told) - min(told) > 0.05
    assert metrics(marked)["adapter"]["explanations"]["marks"] == {
        # Of three queries one alone is drawn three times in one resample of 27, so in more than a fortieth of them.
        "explanation_quality": pytest.approx(
            {"mean": fmean(means), "low": min(means), "high": max(means), "count": len(told)}, abs=1e-5
        )
    }
    named = marked.manifest["inputs"]["explanations.rewards.0.model"]
    assert (named["kind"], named["digest"]) == ("reward", model.digest)


def test_what_needs_a_judge_is_refused_to_mark_explanations(folder: Path, tiny_adapter: Path) -> None:
    rewards = ({"use": "explanation_quality"},)
    with pytest.raises(InputError, match=r"explanation_quality asks a judge.*take stance"):
        evaluated(
            folder,
            "judged",
            adapters=(tiny_adapter,),
            explain=1,
            explanations={"reader": tiny_adapter, "rewards": rewards},
        )


@pytest.mark.parametrize("use", ["grade_agreement", "ranking", "calibration"])
def test_what_needs_a_judged_grade_is_refused_to_mark_explanations(folder: Path, tiny_adapter: Path, use: str) -> None:
    """It would be held against the system's own grade, with which everybody agrees."""
    explanations = {"reader": tiny_adapter, "rewards": ({"use": use},)}
    with pytest.raises(InputError, match=rf"reward {use} needs relevance.*the columns are completions, query_id"):
        evaluated(folder, "agreeing", adapters=(tiny_adapter,), explain=1, explanations=explanations)
    assert not (folder / "agreeing").exists()


def test_a_reward_model_of_another_base_than_the_readers_marks_nothing(
    folder: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    other = tiny_reward(tiny_model(tmp_path / "other", seed=5), tmp_path)
    rewards = ({"use": "explanation_quality", "params": {"model": str(other.path)}},)
    given = {"adapters": (tiny_adapter,), "explain": 1}
    with pytest.raises(InputError, match="which is another base"):
        evaluated(folder, "foreign", **given, explanations={"reader": tiny_adapter, "rewards": rewards})
    assert not (folder / "foreign").exists()
