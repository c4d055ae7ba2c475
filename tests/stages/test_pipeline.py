"""run: five stages on the sample posts, each with what those before it made, and again from where it was stopped."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.artifact import Artifact, open_artifact
from interank.cli.app import main
from interank.engines.reward_adapter import Explanation, open_reward
from interank.errors import InputError
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
    explanations: {rewards: [{use: stance}, {use: support}, {use: explanation_quality}]}
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
    assert "Nobody read them: a mark says whether a fault was put in" in (reward.path / "README.md").read_text("utf-8")
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


def test_the_reward_model_marks_the_explanations_that_are_evaluated(made: dict[str, Artifact]) -> None:
    evaluation, reward = made["evaluate"], made["reward"]
    named = evaluation.manifest["inputs"]["explanations.rewards.2.model"]
    assert (named["kind"], named["digest"]) == ("reward", reward.digest)
    benchmark = Path(str(evaluation.recipe()["benchmark"]))
    queries, documents = (texts(benchmark / name) for name in ("queries.jsonl", "corpus.jsonl"))
    marks = open_reward(reward.path)
    for name in ("distill", "rl"):
        given, read = [], []
        for row in rows_of(evaluation.path / "rankings" / f"{name}.jsonl"):
            for item in row["ranking"]:
                if item["explanation"]:
                    given.append(row["marks"][item["doc_id"]]["explanation_quality"])
                    document = documents[item["doc_id"]]
                    read.append(Explanation(queries[row["query_id"]], document, item["explanation"]))
        assert given
        assert given == pytest.approx(torch.tensor(marks(read)).sigmoid().tolist(), abs=1e-5)
        told = json.loads((evaluation.path / "metrics.json").read_text("utf-8"))[name]
        assert told["explanations"]["marks"]["explanation_quality"]["count"] == len(given)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def texts(file: Path) -> dict[str, str]:
    """Of queries or documents, by their names."""
    return {row["id"]: row.get("query") or row["content"] for row in rows_of(file)}


def test_a_reader_that_is_named_stays(tiny_adapter: Path) -> None:
    for named, reader in ((tiny_adapter, tiny_adapter), (None, Path("distilled"))):
        recipe = EvaluateRecipe(stage="evaluate", explain=1, explanations=MarkingRecipe(reader=named))
        marking = pipeline.with_reader(recipe, Path("distilled")).explanations
        assert marking is not None and marking.reader == reader
    assert pipeline.with_reader(EvaluateRecipe(stage="evaluate"), Path("distilled")).explanations is None


def mark(number: int, body: dict[str, Any]) -> Answer:
    """The teacher marks by length, in either order alike; else it explains."""
    question = body["messages"][-1]["content"]
    parts = re.split(r"\n\nExplanation (\d+):\n", question.rpartition("\n\n")[0])[1:]
    if not parts:
        return explain(number, body)
    return said(
        "\n".join(f"{place}: {len(text) % 11} - so" for place, text in zip(parts[::2], parts[1::2], strict=True))
    )


def test_the_recipe_of_five_stages_runs_in_small(tmp_path: Path) -> None:
    """The one that comes along, with tiny models, few texts and steps."""
    data, student = resource_dir("data"), strong_model(tmp_path / "base")
    prompt = "{order: grade_first, max_length: 384, max_query_tokens: 40, max_document_tokens: 60}"
    with serving(stub := Stub(mark)):
        small = {
            "generate.dumps": data / "stackexchange",
            "generate.decontaminate": False,
            "generate.mining": "{questions: 10, documents_per_question: 4, validation_share: 0.3}",
            "generate.teacher.server": f"{{urls: [{stub.url}], api: chat}}",
            "generate.teacher.grades": "votes",
            **{f"{stage}.prompt": prompt for stage in ("generate", "distill")},
            "generate.explanations.pairs": 8,
            **{f"{stage}.student": student for stage in ("distill", "reward")},
            "distill.trainer.max_steps": 2,
            "distill.questions_per_step": 1,
            "distill.validation": "{questions: 0}",
            "reward.encoding": "{max_query_tokens: 40, max_explanation_tokens: 48, max_length: 160}",
            "reward.controls": False,
            "reward.trainer.max_steps": 2,
            "rl.quantisation": "none",
            "rl.hard_examples": "null",
            "rl.max_completion_tokens": 16,
            "rl.validation": "{questions: 0}",
            "rl.trainer.max_steps": 2,
            "rl.trainer.gradient_accumulation_steps": 1,
            "evaluate.benchmark": data / "benchmark",
            "evaluate.depth": 3,
            "evaluate.queries": 3,
            "evaluate.explain": 1,
            "evaluate.max_reasoning_tokens": 8,
        }
        changes = [f"{name}={value}" for name, value in small.items()]
        assert main(["run", "explained", *changes, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    made = {name: open_artifact(tmp_path / "out" / name) for name in STAGES}
    assert {row.marked_by for row in read_explanations(made["generate"].path)} == {"meta-llama/Llama-3.3-70B-Instruct"}
    assert made["rl"].recipe()["rewards"][2]["params"]["model"] == str(made["reward"].path)
    assert {row["rewards"]["explanation_quality"] for row in rows_of(made["rl"].path / "rollouts.jsonl")}
    marks = json.loads((made["evaluate"].path / "metrics.json").read_text("utf-8"))["rl"]["explanations"]["marks"]
    assert marks.keys() == {"explanation_quality", "stance", "support"}


def test_an_adapter_that_is_trained_further_stands_beside_what_becomes_of_it(
    tiny_adapter: Path, tiny_folder: Path
) -> None:
    for student, beside in ((tiny_adapter, (tiny_adapter,)), (tiny_folder, ())):
        recipe = load_recipe("demo", [f"distill.student={student}", "evaluate.fits=[]"])
        assert isinstance(recipe, RunRecipe)
        assert pipeline.trained_further(recipe.stages) == beside
        assert {f"evaluate.adapter.{path.name}" for path in beside} <= {each.name for each in pipeline.check(recipe)}


def test_a_reward_model_of_another_base_than_the_adapter_that_is_trained_further_is_told_at_once(
    tiny_adapter: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    # What the recipe names as the students of both.
    command(tmp_path, "http://127.0.0.1:9/v1", tiny_folder)
    given = [f"distill.student={tiny_adapter}"]
    recipe = load_recipe(str(tmp_path / "run.yaml"), given)
    assert isinstance(recipe, RunRecipe)
    assert pipeline.check(recipe)
    other = load_recipe(str(tmp_path / "run.yaml"), [*given, f"reward.student={strong_model(tmp_path / 'other')}"])
    assert isinstance(other, RunRecipe)
    with pytest.raises(InputError, match=r"reward\.student: .*other is another base than that of distill\.student"):
        pipeline.check(other)
