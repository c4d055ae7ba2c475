"""A kill at every change of the disk while a stage finishes what it has computed: resumed, the same bytes."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Artifact, Existing, open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError
from interank.ledger import read_rows
from interank.outputs import Partial
from interank.recipe import (
    EvaluateRecipe,
    GenerateRecipe,
)
from interank.resources import resource_dir
from interank.settings import HeadSettings
from interank.stages import distill, evaluate, generate, merge, rl
from interank.tasks import DISTILLED, REFINED
from interank.tasks.judge.recipe import RlJudge
from interank.types import grouped
from tests.stages.test_list_training import distill_recipe, judgments_with_lists, rl_recipe
from tests.stages.test_resume import digests
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.kills import Killed, watched
from tests.support.tiny_heads import tiny_head

Stage = Callable[[Path, Existing], Artifact]
PROMPT = {"order": "grade_first", "max_length": 300, "max_query_tokens": 64, "max_document_tokens": 64}
TRAINER = {"gradient_checkpointing": False, "save_steps": 1, "logging_steps": 1}


def killed_all_along(
    stage: Stage, folder: Path, *, computed: Callable[[Path], bool] | None = None, stride: int = 1
) -> int:
    """Run a stage whole; then kill its twin at one change after another, each time `stride` later; the number of kills.

    The first kill comes as soon as all is computed, where that is told apart, so that what is tried again and again is
    the finishing.
    """
    # The same relative places, so that manifests may name the same paths.
    whole, broken = folder / "whole" / "out", folder / "broken" / "out"
    whole.parent.mkdir()
    broken.parent.mkdir()
    stage(whole, "refuse")
    kills = 0
    if computed:
        with pytest.raises(Killed), watched(broken.parent) as disk:
            disk.until = lambda: computed(Partial(broken).work)
            stage(broken, "refuse")
        kills = 1
    for number in count(1, stride):
        try:
            with watched(broken.parent, kill_at=number, torn=kills % 2 == 0):
                made = stage(broken, "resume")
            break
        except Killed:
            kills += 1
    assert digests(broken) == digests(whole)
    assert open_artifact(broken).digest == made.digest
    # A killed process would hold no lock; here what an attempt held goes with the last that refers to it.
    gc.collect()
    assert list(broken.parent.iterdir()) == [broken]
    return kills


def checkpoint(step: int) -> Callable[[Path], bool]:
    return lambda work: (work / "checkpoints" / f"checkpoint-{step}" / "complete").exists()


@pytest.fixture(scope="module")
def judgments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = [
        *rule.examples(0, queries=4, documents=4),
        *rule.examples(1, queries=2, documents=4, split="validation"),
    ]
    return judgments_artifact(tmp_path_factory.mktemp("finishing") / "judgments", examples)


RL = {
    "stage": "rl",
    "max_completion_tokens": 8,
    "documents_per_query": 4,
    "rewards": [{"use": "grade_agreement"}, {"use": "well_formed"}],
    "validation": {"every": 1, "questions": 2, "explained": 1},
    "collapse_detection": {"enabled": False},
    "trainer": {
        **TRAINER,
        "max_steps": 3,
        "num_generations": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 1.0e-2,
    },
}
# Whatever moves is a sign.
SENSITIVE = {"patience": 1, "ndcg_drop": 1e-9, "entropy_share": 0.9999, "length_factor": 1.0001, "format_drop": 1e-6}


def rl_stage(adapter: Path, judgments: Path, **more: Any) -> Stage:
    content = {**RL, "judgments": judgments, "adapter": adapter, **more}
    if content.get("algorithm") == "reward_weighted":
        # It tries nothing.
        content = {key: value for key, value in content.items() if key not in ("validation", "collapse_detection")}
    recipe = RlJudge.model_validate(content)
    return lambda out, existing: rl.run(recipe, out, existing=existing)


@pytest.mark.slow
def test_rl_that_did_its_last_step(tiny_adapter: Path, judgments: Path, tmp_path: Path) -> None:
    kills = killed_all_along(rl_stage(tiny_adapter, judgments), tmp_path, computed=checkpoint(3))
    assert kills > 15
    made = tmp_path / "broken" / "out"
    manifest = open_artifact(made).manifest
    assert manifest["counts"]["steps"] == 3
    # The trials of the training, not one of the adapter that it began with.
    assert [row["step"] for row in read_rows(made / "trials.jsonl")] == [0, 1, 2, 3]
    assert [*grouped(read_rows(made / "answers.jsonl"), lambda row: row["step"])] == [0, 1, 2, 3]
    assert manifest["validation"]["last"]["step"] == 3


@pytest.mark.slow
def test_rl_that_a_sign_of_collapse_stopped(tiny_adapter: Path, judgments: Path, tmp_path: Path) -> None:
    stage = rl_stage(tiny_adapter, judgments, collapse_detection=SENSITIVE, trainer={**RL["trainer"], "max_steps": 9})
    stopped = stage(tmp_path / "first", "refuse").manifest
    steps = stopped["counts"]["steps"]
    assert stopped["validation"]["stopped"]
    assert steps < 9
    killed_all_along(stage, tmp_path, computed=checkpoint(steps), stride=5)


@pytest.mark.slow
def test_rl_by_reward_weight(tiny_adapter: Path, judgments: Path, tmp_path: Path) -> None:
    trainer = {**TRAINER, "max_steps": 2, "gradient_accumulation_steps": 2}
    more = {"algorithm": "reward_weighted", "reward_weighted": {"samples": 2}, "trainer": trainer}
    kills = killed_all_along(rl_stage(tiny_adapter, judgments, **more), tmp_path, computed=checkpoint(2), stride=2)
    assert kills > 5


def distill_stage(student: Path, judgments: Path, **more: Any) -> Stage:
    content = {
        "stage": "distill",
        "student": str(student),
        "judgments": judgments,
        "lora": {"rank": 4, "alpha": 8},
        "validation": {"questions": 2},
        "trainer": {**TRAINER, "max_steps": 3, "per_device_train_batch_size": 2},
        **more,
    }
    recipe = DISTILLED[content.get("task", "judge")].model_validate(content)
    return lambda out, existing: distill.run(recipe, out, existing=existing)


@pytest.mark.slow
def test_distill_that_did_its_last_step(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    stage = distill_stage(tiny_folder, judgments, prompt=PROMPT)
    assert killed_all_along(stage, tmp_path, computed=checkpoint(3), stride=2) > 8


@pytest.mark.slow
def test_distill_that_got_no_better(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    trainer = {**TRAINER, "max_steps": 9, "per_device_train_batch_size": 2, "learning_rate": 1e-9}
    validation = {"questions": 2, "patience": 2, "every": 1}
    stage = distill_stage(tiny_folder, judgments, prompt=PROMPT, trainer=trainer, validation=validation)
    steps = stage(tmp_path / "first", "refuse").manifest["counts"]["steps"]
    assert steps < 9
    killed_all_along(stage, tmp_path, computed=checkpoint(steps), stride=5)


@pytest.mark.slow
def test_distill_of_a_head(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    teacher = tiny_head(tmp_path / "teacher", tiny_folder, HeadSettings(max_length=64))
    head = {"task": "head", "documents": 4, "teacher": str(teacher), "encoding": {"max_length": 64}}
    trainer = {**TRAINER, "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    stage = distill_stage(tiny_folder, judgments, objective="ranknet", **head, trainer=trainer)
    assert killed_all_along(stage, tmp_path, computed=checkpoint(2), stride=2) > 8


@pytest.mark.slow
def test_distill_and_rl_on_lists(tiny_folder: Path, tmp_path: Path) -> None:
    judgments = judgments_with_lists(tmp_path / "judgments")
    (tmp_path / "distill").mkdir()
    trainer = {**TRAINER, "max_steps": 2, "per_device_train_batch_size": 2}
    taught = distill_recipe(tiny_folder, {"shuffles": 2}, judgments=judgments, trainer=trainer)

    def distilled(out: Path, existing: Existing) -> Artifact:
        return distill.run(taught, out, existing=existing)

    assert killed_all_along(distilled, tmp_path / "distill", computed=checkpoint(2), stride=3) > 4
    (tmp_path / "rl").mkdir()
    trainer = {**trainer, "num_generations": 2, "per_device_train_batch_size": 4}
    adapter = tmp_path / "distill" / "whole" / "out"
    refined = rl_recipe(judgments=judgments, adapter=adapter, trainer=trainer, validation={"every": 1, "questions": 2})

    def trained(out: Path, existing: Existing) -> Artifact:
        return rl.run(refined, out, existing=existing)

    assert killed_all_along(trained, tmp_path / "rl", computed=checkpoint(2), stride=3) > 4


@pytest.mark.slow
def test_distill_and_rl_on_windows(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    for name in ("distill", "rl"):
        (tmp_path / name).mkdir()
    prompt = {"max_length": 700, "max_query_tokens": 40, "max_document_tokens": 30}
    taught = distill_stage(tiny_folder, judgments, task="group", window=3, prompt=prompt)
    assert killed_all_along(taught, tmp_path / "distill", computed=checkpoint(3), stride=3) > 4
    content = {
        "stage": "rl",
        "task": "group",
        "judgments": judgments,
        "adapter": tmp_path / "distill" / "whole" / "out",
        "window": 3,
        "max_completion_tokens": 40,
        "rewards": [{"use": "group_ranking"}],
        "validation": {"every": 1, "questions": 2},
        "trainer": {**TRAINER, "max_steps": 2, "num_generations": 2, "per_device_train_batch_size": 4},
    }
    recipe = REFINED["group"].model_validate(content)

    def trained(out: Path, existing: Existing) -> Artifact:
        return rl.run(recipe, out, existing=existing)

    assert killed_all_along(trained, tmp_path / "rl", computed=checkpoint(2), stride=3) > 4


@pytest.mark.slow
def test_evaluate(tiny_adapter: Path, tmp_path: Path) -> None:
    content = {
        "stage": "evaluate",
        "benchmark": benchmark_folder(tmp_path / "b"),
        "adapters": [tiny_adapter],
        "depth": 5,
    }
    recipe = EvaluateRecipe.model_validate({**content, "explain": 1, "max_reasoning_tokens": 8})

    def ranked(work: Path) -> bool:
        file = work / f"{tiny_adapter.name}.jsonl"
        return file.exists() and file.read_bytes().count(b"\n") == 3

    def stage(out: Path, existing: Existing) -> Artifact:
        return evaluate.run(recipe, out, existing=existing)

    assert killed_all_along(stage, tmp_path, computed=ranked, stride=3) > 5


@pytest.mark.slow
@pytest.mark.parametrize("only_mine", [True, False])
def test_generate(tiny_folder: Path, tmp_path: Path, only_mine: bool) -> None:
    content = {
        "stage": "generate",
        "dumps": (str(resource_dir("data") / "stackexchange"),),
        "benchmarks": (str(benchmark_folder(tmp_path / "b")),),
        "mining": {"questions": 5, "documents_per_question": 3},
        "prompt": {**PROMPT, "max_length": 600},
    }
    teacher = {"model": str(tiny_folder), "grades": "votes", "max_reasoning_tokens": 240, "temperature": 1.0}
    content |= {"teacher": {**teacher, "batch_size": 8}}
    recipe = GenerateRecipe.model_validate(content)

    def stage(out: Path, existing: Existing) -> Artifact:
        return generate.run(recipe, out, existing=existing, only_mine=only_mine)

    mined = None if only_mine else lambda work: (work / "mined.json").exists()
    assert killed_all_along(stage, tmp_path, computed=mined) > 12
    assert (tmp_path / "broken" / "out" / "decontamination.json").is_file()


@pytest.mark.slow
def test_merge(tiny_adapter: Path, tmp_path: Path) -> None:
    """It is made in one go: what a kill leaves is nothing that another try would trip over."""
    whole = merge.merge(tiny_adapter, tmp_path / "whole").folder
    for number in count(1, 3):
        out = tmp_path / "broken" / "out"
        try:
            with watched(tmp_path / "broken", kill_at=number, torn=True):
                merge.merge(tiny_adapter, out)
            break
        except Killed:
            if out.exists():
                # All but the tidying was done, which the next try does before it says that there is an output.
                with pytest.raises(ArtifactError, match="/out "):
                    merge.merge(tiny_adapter, out)
                break
    assert number > 15
    assert digests(out) == digests(whole)
    assert list(out.parent.iterdir()) == [out]


def test_a_run_and_a_page_are_whole_or_absent(tiny_adapter: Path, tmp_path: Path) -> None:
    benchmark = benchmark_folder(tmp_path / "b", queries=2, documents=2)
    out = tmp_path / "made"
    out.mkdir()
    files = [argument for name in ("jsonl", "trec", "rank-llm") for argument in (f"--{name}", str(out / name))]
    command = ["rerank", str(tiny_adapter), "--corpus", str(benchmark), "--quiet", *files]
    ended = False
    for number in count(1, 2):
        # A process that was killed holds no lock; what is left of it here does until it is collected.
        gc.collect()
        try:
            with watched(out, kill_at=number, torn=True):
                ended = main(command) == 0
            break
        except Killed:
            for name in ("jsonl", "trec", "rank-llm"):
                assert not (out / name).exists() or (out / name).read_bytes().endswith(b"\n")
    assert ended
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    assert sorted(whole) == ["jsonl", "rank-llm", "trec"]
