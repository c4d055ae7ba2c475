"""Two processes train what one trains: the same adapters to rounding, killed or not, and a sentence where one ends."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.training.checkpoints import last_complete
from interank.training.student import StudentTrainer
from tests.stages.test_list_training import judgments_with_lists
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import partial
from tests.support.distributed_commands import PATIENCE, children, done_together, launched, started_together, wait_for
from tests.support.marked_explanations import explained_artifact, recipe_of
from tests.support.marked_explanations import judged as judged_explained

TRAINER = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 4,
    "save_steps": 2,
    "logging_steps": 1,
    "gradient_checkpointing": False,
    "learning_rate": 1.0e-3,
}
PROMPT = {"max_length": 300, "max_query_tokens": 60, "max_document_tokens": 60}
# Of seven questions in steps of four the last step has three, so that one process has nothing to learn in the end.
RECIPES: dict[str, dict[str, Any]] = {
    "judge": {"task": "judge", "prompt": PROMPT, "validation": {"questions": 4, "every": 2}},
    "bf16": {"task": "judge", "prompt": PROMPT, "precision": "bfloat16", "trainer": {**TRAINER, "num_train_epochs": 1}},
    "nf4": {"task": "judge", "prompt": PROMPT, "quantisation": "nf4", "trainer": {**TRAINER, "num_train_epochs": 1}},
    "head": {
        "task": "head",
        "documents": 4,
        "encoding": {"max_length": 64},
        "objective": "ranknet_hard",
        "validation": {"questions": 3, "every": 2},
    },
    "order": {"task": "order", "prompt": {"max_length": 900, "max_query_tokens": 40, "max_document_tokens": 30}},
    "group": {
        "task": "group",
        "window": 3,
        "prompt": {"max_length": 900, "max_query_tokens": 40, "max_document_tokens": 30},
        "validation": {"questions": 3, "every": 2},
    },
    "rl": {
        "stage": "rl",
        "task": "judge",
        "max_completion_tokens": 14,
        "documents_per_query": 2,
        "questions_per_step": 4,
        "reason_share": 0.5,
        "grade": {"calibration": 0.5, "listwise": 0.5},
        "rewards": [{"use": "grade_agreement"}, {"use": "brevity", "weight": 0.2, "params": {"soft": 3, "hard": 9}}],
        "hard_examples": {"least": 0.0, "most": 1.0, "samples": 2, "questions": 6},
        "validation": {"questions": 0},
        "trainer": {
            "max_steps": 3,
            "num_generations": 2,
            "per_device_train_batch_size": 4,
            "gradient_checkpointing": False,
            "save_steps": 2,
            "learning_rate": 1.0e-3,
        },
    },
}

NAMES = (*RECIPES, "reward")


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipes, and what they read."""
    made = tmp_path_factory.mktemp("launch")
    judged = [*rule.examples(0, queries=7, documents=5), *rule.examples(1, queries=5, documents=5, split="validation")]
    judgments_artifact(made / "judgments", judged)
    judgments_with_lists(made / "lists")
    for name, keys in RECIPES.items():
        judgments = made / ("lists" if name == "order" else "judgments")
        common: dict[str, Any] = {"stage": "distill", "judgments": str(judgments), "quantisation": "none"}
        if name == "rl":
            common["adapter"] = str(made / "one" / "judge")
        else:
            common |= {"student": str(tiny_folder), "lora": {"rank": 4, "alpha": 8}, "trainer": TRAINER}
        (made / f"{name}.yaml").write_text(yaml.safe_dump({**common, **keys}))
    explained_artifact(made / "explained", judged_explained(queries=3, held_out=2))
    # Microbatches of one pair, so that the last step has parts of unequal size.
    taught = recipe_of(tiny_folder, made / "explained", trainer={**TRAINER, "max_steps": 3})
    (made / "reward.yaml").write_text(yaml.safe_dump(taught.model_dump(mode="json")))
    for name in ("one", "two"):
        (made / name).mkdir()
    return made


def command(folder: Path, name: str, out: Path, *more: str) -> list[str]:
    return [
        name if name in ("rl", "reward") else "distill",
        str(folder / f"{name}.yaml"),
        "--out",
        str(out),
        "--quiet",
        *more,
    ]


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """What one process makes."""
    for name in NAMES:
        assert main(command(folder, name, folder / "one" / name)) == 0
    with pytest.MonkeyPatch.context() as patch:
        sum_as_two(patch)
        assert main(command(folder, "nf4", folder / "one" / "nf4-summed-as-two")) == 0
    return folder / "one"


def sum_as_two(patch: pytest.MonkeyPatch) -> None:
    """Have one process sum a step's gradients as two do: each those of its own microbatches, and then the two sums."""
    plain, done = StudentTrainer.training_step, []

    def step(self: StudentTrainer, model: torch.nn.Module, *given: Any) -> torch.Tensor:
        trained = [each for each in model.parameters() if each.requires_grad]
        if trained[0].grad is None:
            done.clear()
        model.zero_grad()
        loss: torch.Tensor = plain(self, model, *given)
        done.append([each.grad for each in trained])
        for place, each in enumerate(trained):
            each.grad = sum(sum(gradients[place] for gradients in done[number::2]) for number in (0, 1))
        return loss

    patch.setattr(StudentTrainer, "training_step", step)


@pytest.fixture(scope="module")
def together(folder: Path, alone: Path) -> Path:
    """What two processes make, in one launch."""
    commands = [command(folder, name, folder / "two" / name) for name in NAMES]
    assert done_together(commands, folder) == 0, (folder / "said.txt").read_text()
    return folder / "two"


def weights(out: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(out / "adapter" / "adapter_model.safetensors")
    return found


def difference(one: Path, other: Path) -> float:
    here, there = weights(one), weights(other)
    assert here.keys() == there.keys()
    return max(float((here[name] - there[name]).abs().max()) for name in here)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_make_what_one_makes(alone: Path, together: Path, name: str) -> None:
    if name == "nf4":
        # TRL keeps the adapter in bfloat16 there, which shows the order in which gradients are summed.
        assert difference(alone / name, together / name) < 2e-5
    same = alone / ("nf4-summed-as-two" if name == "nf4" else name)
    assert difference(same, together / name) < 1e-6
    one, two = (open_artifact(each / name).manifest for each in (alone, together))
    assert two.pop("processes") == 2
    # Figures of trials differ by rounding, and with them the files.
    apart = ("inputs", "files", "validation")
    assert {key: two[key] for key in two if key not in apart} == {key: one[key] for key in one if key not in apart}
    log = [(alone / name / "log.jsonl"), (together / name / "log.jsonl")]
    assert len({len(file.read_text().splitlines()) for file in log}) == 1
    assert not partial(together / name).exists()


def test_rl_moves_the_adapter(alone: Path) -> None:
    assert difference(alone / "rl", alone / "judge") > 1e-4


@pytest.mark.slow
def test_killed_of_two_and_gone_on_with_alone(folder: Path, tmp_path: Path) -> None:
    longer = ["trainer.num_train_epochs=20", "validation.questions=0"]
    assert main(command(folder, "judge", tmp_path / "one", *longer)) == 0
    out = tmp_path / "two"
    checkpoints = partial(out) / "work" / "checkpoints"
    with launched([command(folder, "judge", out, *longer)], tmp_path) as process:
        wait_for(lambda: any(checkpoints.glob("checkpoint-*/complete")), process)
        children(process.pid)[1].send_signal(signal.SIGKILL)
        began = time.monotonic()
        assert process.wait(PATIENCE) != 0
        assert time.monotonic() - began < 60
    said = (tmp_path / "said.txt").read_text()
    assert "--resume goes on" in said
    kept = last_complete(checkpoints)
    assert kept is not None and not out.exists()
    assert main(command(folder, "judge", out, *longer, "--resume")) == 0
    assert difference(tmp_path / "one", out) < 1e-6


@pytest.mark.slow
def test_an_error_is_told_once_and_ends_all(folder: Path, tmp_path: Path) -> None:
    taken = command(folder, "judge", folder / "judgments")
    assert done_together([taken], tmp_path) == 1
    said = (tmp_path / "said.txt").read_text()
    assert said.count("interank: ") == 1
    assert str(folder / "judgments") in said


@pytest.mark.slow
def test_sigterm_to_what_starts_them_ends_all_and_is_told_once(folder: Path, tmp_path: Path) -> None:
    arguments = command(folder, "judge", tmp_path / "out", "trainer.num_train_epochs=20", "--launch", "2")
    with started_together([sys.executable, "-m", "interank", *arguments], tmp_path) as process:
        wait_for(lambda: len(children(process.pid)) == 2, process)
        every = children(process.pid)
        process.terminate()
        assert process.wait(PATIENCE) == 143
        _, left = psutil.wait_procs(every.values(), timeout=5)
        assert not left
    # torch warns that it was ended, in lines of its own.
    said = [line for line in (tmp_path / "said.txt").read_text().splitlines() if "torch/distributed" not in line]
    assert said == ["interank: terminated; the same command with --resume goes on"]
