"""`kill -9` in the middle of each stage, then the same command with --resume: the end equals the uninterrupted one."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from interank.resources import resource_dir
from interank.settings import HeadSettings
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import alive, command, forked, kill, partial
from tests.support.marked_explanations import explained_artifact, judged
from tests.support.tiny_heads import tiny_head

pytestmark = pytest.mark.own_rewards

BENCHMARK = resource_dir("data") / "benchmark"
PATIENCE = 120.0
PROMPT = "prompt: {order: grade_first, max_length: 300, max_query_tokens: 64, max_document_tokens: 64}\n"

DISTILL = f"""
stage: distill
student: MODEL
{PROMPT}
lora: {{rank: 4, alpha: 8, dropout: 0.1}}
validation: {{questions: 2}}
trainer:
  {{max_steps: 14, per_device_train_batch_size: 4, gradient_checkpointing: false, save_steps: 2, logging_steps: 2}}
"""
HEAD = """
stage: distill
student: MODEL
task: head
objective: ranknet
documents: 4
teacher: TEACHER
encoding: {max_length: 64}
lora: {rank: 4, alpha: 8, dropout: 0.1}
trainer:
  {max_steps: 14, per_device_train_batch_size: 4, gradient_accumulation_steps: 1, save_steps: 2, logging_steps: 2}
"""
REWARD = """
stage: reward
student: MODEL
encoding: {max_query_tokens: 16, max_explanation_tokens: 48, max_length: 112}
lora: {rank: 4, alpha: 8, dropout: 0.1}
trainer: {max_steps: 10, per_device_train_batch_size: 4, save_steps: 2, logging_steps: 2, disable_dropout: false}
"""
RL = """
stage: rl
max_completion_tokens: 12
documents_per_query: 4
reason_share: 0.5
rewards: [{use: grade_agreement}, {use: ranking}, {use: well_formed}, {use: REWARD, params: {folder: FOLDER}}]
validation: {every: 3, questions: 2, explained: 2}
collapse_detection: {enabled: false}
trainer:
  {max_steps: 10, num_generations: 2, per_device_train_batch_size: 16, gradient_checkpointing: false, save_steps: 2,
   learning_rate: 1.0e-3, beta: 0.05}
"""
# Tells where a training is: in the rollout of a step, whose rewards are part of it, or in its update.
MARKING = """
import pathlib, time
def reward(*, completions, trainer_state, folder, **_):
    if trainer_state.global_step == 6:
        (pathlib.Path(folder) / "rollout").touch()
        time.sleep(0.3)
        (pathlib.Path(folder) / "update").touch()
    return [len(completion) % 7 / 7 for completion in completions]
"""
REWARD_WEIGHTED = """
stage: rl
algorithm: reward_weighted
reward_weighted: {samples: 48}
max_completion_tokens: 14
rewards: [{use: REWARD, params: {file: FOLDER/asked}}]
trainer: {max_steps: 4, per_device_train_batch_size: 4, gradient_accumulation_steps: 1, save_steps: 1}
"""
# A reward that tells of every query that it is asked about, and leaves time to be killed.
TELLING = """
import time

def reward(*, completions, query_id, file, **_):
    with open(file, "a") as stream:
        stream.write(" ".join(sorted(set(query_id))) + "\\n")
    time.sleep(0.5)
    return [len(completion) % 7 / 7 for completion in completions]
"""
EVALUATE = "stage: evaluate\ndepth: 10\nexplain: 2\nmax_reasoning_tokens: 8\n"


def run(arguments: list[str]) -> None:
    with forked(arguments) as (process, said):
        limit = threading.Timer(300, kill, [process])
        limit.start()
        code = process.wait()
        limit.cancel()
        assert code == 0, said.read_text()


def killed_when(arguments: list[str], reached: Callable[[], bool]) -> None:
    """Start a command and kill it without warning once a state is reached; it must not have ended by itself."""
    with forked(arguments) as (process, said):
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert alive(process), f"ended before it could be killed: {said.read_text()}"
            assert time.monotonic() < deadline, "never got as far as the place to kill it"
            time.sleep(0.002)


def lines(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def digests(out: Path) -> dict[str, str]:
    """What has to be the same byte for byte: everything but costs, logs and the report that tells of them."""
    skipped = {"cost.json", "cost.jsonl", "log.jsonl", "report.md", "report.html"}
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in skipped
    }


def check_resume(
    verb: str, recipe: Path, folder: Path, more: list[str], reached: Callable[[Path], bool], *, kills: int = 1
) -> None:
    """Run a stage whole, then killed and resumed in a twin folder, and compare."""
    # The same relative places, so that manifests may name the same paths.
    whole, broken = folder / "whole" / "out", folder / "broken" / "out"
    for out in (whole, broken):
        out.parent.mkdir()
    run(command(verb, recipe, whole, *more))
    for number in range(kills):
        flags = ["--resume"] if number else []
        killed_when([*command(verb, recipe, broken, *more), *flags], lambda: reached(partial(broken)))
        assert not broken.exists()
        assert partial(broken).exists()
    run([*command(verb, recipe, broken, *more), "--resume"])
    assert digests(broken) == digests(whole)
    assert not partial(broken).exists()


def recipe_file(folder: Path, text: str, model: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text.replace("MODEL", str(model)))
    return path


def saved(step: int) -> Callable[[Path], bool]:
    def reached(folder: Path) -> bool:
        found = folder.glob("work/checkpoints/checkpoint-*/complete")
        return any(int(path.parent.name.rpartition("-")[2]) >= step for path in found)

    return reached


@pytest.mark.slow
def test_distill(tiny_folder: Path, tmp_path: Path) -> None:
    examples = [*rule.examples(0, queries=5), *rule.examples(1, queries=2, split="validation")]
    judgments = judgments_artifact(tmp_path / "judgments", examples)
    recipe = recipe_file(tmp_path, DISTILL, tiny_folder)
    check_resume("distill", recipe, tmp_path, [f"judgments={judgments}"], saved(4))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["teacher", "student"])
def test_distill_of_a_head(tiny_folder: Path, tmp_path: Path, part: str) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=60, documents=6))
    teacher = tiny_head(tmp_path / "teacher", tiny_folder, HeadSettings(max_length=64))
    recipe = recipe_file(tmp_path, HEAD.replace("TEACHER", str(teacher)), tiny_folder)

    def half_scored(folder: Path) -> bool:
        return lines(folder / "work" / "teacher_scores.jsonl") >= 64

    reached = half_scored if part == "teacher" else saved(4)
    check_resume("distill", recipe, tmp_path, [f"judgments={judgments}"], reached)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["twin", "own"])
def test_reward(tiny_folder: Path, tmp_path: Path, part: str) -> None:
    judgments = explained_artifact(tmp_path / "explained", judged(queries=4, held_out=2))
    recipe = recipe_file(tmp_path, REWARD, tiny_folder)

    def reached(folder: Path) -> bool:
        work = folder / "work"
        trained = work / "shuffled" if part == "twin" else work
        return any((trained / "checkpoints").glob("checkpoint-4/complete"))

    check_resume("reward", recipe, tmp_path, [f"judgments={judgments}"], reached)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["rollout", "update"])
def test_rl(tiny_adapter: Path, tmp_path: Path, part: str) -> None:
    examples = [*rule.examples(0, queries=12), *rule.examples(1, queries=2, split="validation")]
    judgments = judgments_artifact(tmp_path / "judgments", examples)
    file = tmp_path / "marking.py"
    file.write_text(MARKING)
    text = RL.replace("REWARD", str(file)).replace("FOLDER", str(tmp_path))
    recipe = recipe_file(tmp_path, text, tiny_adapter)

    def reached(folder: Path) -> bool:
        # The whole run has left its marks already.
        if (tmp_path / "forgotten").exists():
            return (tmp_path / part).exists()
        for mark in ("rollout", "update"):
            (tmp_path / mark).unlink(missing_ok=True)
        (tmp_path / "forgotten").touch()
        return False

    check_resume("rl", recipe, tmp_path, [f"judgments={judgments}", f"adapter={tiny_adapter}"], reached)


@pytest.mark.slow
def test_rl_by_reward_weight_is_killed_in_every_part_and_asks_nothing_twice(tiny_adapter: Path, tmp_path: Path) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=4))
    file = tmp_path / "telling.py"
    file.write_text(TELLING)
    text = REWARD_WEIGHTED.replace("REWARD", str(file)).replace("FOLDER", str(tmp_path))
    recipe = recipe_file(tmp_path, text, tiny_adapter)
    samples: list[bytes] = []

    def sampled(folder: Path) -> bool:
        return lines(folder / "work" / "samples.jsonl") >= 2

    def rewarded(folder: Path) -> bool:
        whole = lines(folder / "work" / "rewards.jsonl") >= 2
        if whole:
            samples.append((folder / "work" / "samples.jsonl").read_bytes())
        return whole

    def learned(folder: Path) -> bool:
        whole = saved(2)(folder)
        if whole:
            samples.append((folder / "work" / "samples.jsonl").read_bytes())
        return whole

    waiting = [sampled, rewarded, learned]

    def reached(folder: Path) -> bool:
        if not waiting[0](folder):
            return False
        waiting.pop(0)
        return True

    check_resume("rl", recipe, tmp_path, [f"judgments={judgments}", f"adapter={tiny_adapter}"], reached, kills=3)
    assert samples[0] == samples[1]
    # A query is a part. Of the run that was killed one part at most was asked for and not yet kept.
    asked = (tmp_path / "asked").read_text().splitlines()
    queries = [item.query.query_id for item in rule.examples(0, queries=4)][::12]
    assert asked in ([*queries, *queries], [*queries, *queries[:3], *queries[2:]])


@pytest.mark.slow
def test_evaluate(tiny_adapter: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, EVALUATE, tiny_adapter)

    def reached(folder: Path) -> bool:
        return lines(folder / "work" / f"{tiny_adapter.name}.jsonl") >= 5

    check_resume("evaluate", recipe, tmp_path, [f"benchmark={BENCHMARK}", f"adapters={tiny_adapter}"], reached)


def test_a_checkpoint_that_was_not_finished_is_not_resumed_from(tmp_path: Path) -> None:
    from interank.training.checkpoints import last_complete

    for step, whole in ((2, True), (4, True), (10, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "complete").touch()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-4"
    assert not (tmp_path / "checkpoint-10").exists()
    assert last_complete(tmp_path / "none") is None
