"""run: five stages on the sample posts, each with what those before it made, and again from where it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Artifact, open_artifact
from interank.cli.app import main
from interank.explanations import MADE_MARKS, read_explanations
from interank.recipe import EvaluateRecipe, RunRecipe, load_recipe
from interank.resources import resource_dir
from interank.settings.rewards import MarkingRecipe
from interank.stages import pipeline
from tests.support.stub import Answer, Stub, said, serving
from tests.support.tiny import strong_model

STAGES = ("generate", "distill", "reward", "rl", "evaluate")
RECIPE = """
stage: run
stages:
  generate:
    dumps: [DUMPS]
    decontaminate: false
    mining: {questions: 10, documents_per_question: 3, validation_share: 0.3}
    teacher:
      model: a/teacher
      engine: openai
      server: {urls: [URL], api: chat}
      grades: votes
      max_reasoning_tokens: 32
    prompt: &prompt {order: grade_first, max_length: 384, max_query_tokens: 40, max_document_tokens: 60}
    explanations: {samples: 1, marks: made}
  distill:
    student: MODEL
    prompt: *prompt
    lora: {rank: 4, alpha: 8}
    trainer: {max_steps: 2, per_device_train_batch_size: 1, gradient_checkpointing: false, save_steps: 1}
  reward:
    student: MODEL
    encoding: {max_query_tokens: 40, max_document_tokens: 60, max_explanation_tokens: 32, max_length: 160}
    lora: {rank: 4, alpha: 8}
    left_out: [minimal_edit]
    trainer: {max_steps: 2, per_device_train_batch_size: 4, gradient_checkpointing: false, save_steps: 1}
  rl:
    max_completion_tokens: 16
    documents_per_query: 3
    rewards:
      - {use: grade_agreement}
      - {use: stance, weight: 0.5}
      - {use: support, weight: 0.25}
    validation: {questions: 0}
    trainer:
      max_steps: 2
      num_generations: 2
      per_device_train_batch_size: 6
      gradient_checkpointing: false
      save_steps: 1
  evaluate:
    benchmark: BENCHMARK
    depth: 3
    explain: 1
    explanations: {rewards: [{use: stance}, {use: support}]}
    max_reasoning_tokens: 8
"""


def explain(number: int, body: dict[str, Any]) -> Answer:
    """The teacher says of what the document speaks."""
    words = [word for word in body["messages"][-1]["content"].split() if word.isalpha() and len(word) > 4]
    return said(f"It speaks of {words[-12]}, {words[-9]} and {words[-7]}, which settles the grade.")


def command(folder: Path, url: str, student: Path) -> list[str]:
    data = resource_dir("data")
    named = {"DUMPS": data / "stackexchange", "BENCHMARK": data / "benchmark", "MODEL": student, "URL": url}
    recipe = RECIPE
    for name, value in named.items():
        recipe = recipe.replace(name, str(value))
    (folder / "run.yaml").write_text(recipe)
    return ["run", str(folder / "run.yaml"), "--out", str(folder / "out"), "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """What the stages made; the last two a second time, as if they had been stopped."""
    folder = tmp_path_factory.mktemp("pipeline")
    with serving(stub := Stub(explain)):
        # A random model of larger weights writes something at least.
        given = command(folder, stub.url, strong_model(folder / "base"))
        assert main(given) == 0
        before, asked = {name: open_artifact(folder / "out" / name).digest for name in STAGES}, len(stub.bodies)
        for name in STAGES[3:]:
            shutil.rmtree(folder / "out" / name)
        assert main([*given, "--resume"]) == 0
        assert len(stub.bodies) == asked
    found = {name: open_artifact(folder / "out" / name) for name in STAGES}
    assert [found[name].digest for name in STAGES[:3]] == [before[name] for name in STAGES[:3]]
    return found


def test_explanations_are_marked_by_what_was_made(made: dict[str, Artifact]) -> None:
    rows = read_explanations(made["generate"].path)
    assert {row.split for row in rows} == {"train", "validation"}
    assert {row.marked_by for row in rows} == {MADE_MARKS}
    assert all(row.mark == float(row.kind == "honest") for row in rows)


def test_the_reward_model_is_of_them_and_stands_beside_the_policy(made: dict[str, Artifact]) -> None:
    reward, rl = made["reward"], made["rl"]
    assert reward.manifest["made_marks_alone"] is True
    assert reward.manifest["inputs"]["judgments"]["digest"] == made["generate"].digest
    assert reward.manifest["base_digest"] == made["distill"].manifest["base_digest"]
    report = json.loads((reward.path / "report.json").read_text("utf-8"))
    assert report["pairs"] > 0
    assert set(report["accuracy"]) == {"trained", "shuffled marks", "untrained", "length alone"}
    (named,) = [each for name, each in rl.manifest["inputs"].items() if name.startswith("rewards.")]
    assert (named["kind"], named["digest"]) == ("reward", reward.digest)


def test_it_takes_the_place_of_rewards_without_a_model(made: dict[str, Artifact]) -> None:
    rewards = made["rl"].recipe()["rewards"]
    assert [(each["use"], each["weight"]) for each in rewards] == [
        ("grade_agreement", 1.0),
        ("explanation_quality", 0.75),
    ]
    rows = [json.loads(line) for line in (made["rl"].path / "rollouts.jsonl").read_text("utf-8").splitlines()]
    earned = [row["rewards"]["explanation_quality"] for row in rows]
    assert earned
    assert all(value == -1 or 0 < value < 1 for value in earned)


def test_what_was_refined_is_evaluated(made: dict[str, Artifact]) -> None:
    told = json.loads((made["evaluate"].path / "metrics.json").read_text("utf-8"))
    assert {"distill", "rl"} <= told.keys()


def test_the_distilled_adapter_reads_the_explanations_that_are_evaluated(made: dict[str, Artifact]) -> None:
    evaluation = made["evaluate"]
    reader = evaluation.manifest["inputs"]["explanations.reader"]
    assert (reader["kind"], reader["digest"]) == ("adapter", made["distill"].digest)
    for name in ("distill", "rl"):
        rows = [json.loads(line) for line in (evaluation.path / "rankings" / f"{name}.jsonl").read_bytes().splitlines()]
        explained = {item["doc_id"] for row in rows for item in row["ranking"] if item["explanation"]}
        assert explained
        assert {doc_id for row in rows for doc_id in row.get("marks", {})} == explained


def test_a_reader_that_is_named_stays(tiny_adapter: Path) -> None:
    for named, reader in ((tiny_adapter, tiny_adapter), (None, Path("distilled"))):
        recipe = EvaluateRecipe(stage="evaluate", explanations=MarkingRecipe(reader=named))
        marking = pipeline.with_reader(recipe, Path("distilled")).explanations
        assert marking is not None and marking.reader == reader
    assert pipeline.with_reader(EvaluateRecipe(stage="evaluate"), Path("distilled")).explanations is None


def test_an_adapter_that_is_trained_further_stands_beside_what_becomes_of_it(
    tiny_adapter: Path, tiny_folder: Path
) -> None:
    for student, beside in ((tiny_adapter, (tiny_adapter,)), (tiny_folder, ())):
        recipe = load_recipe("demo", [f"distill.student={student}", "evaluate.fits=[]"])
        assert isinstance(recipe, RunRecipe)
        assert pipeline.trained_further(recipe.stages) == beside
        assert {f"evaluate.adapter.{path.name}" for path in beside} <= {each.name for each in pipeline.check(recipe)}
