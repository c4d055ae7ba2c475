"""Trials while training: the best adapter is kept, training ends early, and failures leave the last checkpoint."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.errors import TrainingError
from interank.judged_questions import validation_sample
from interank.judgments import by_question
from interank.settings.student import LossRecipe, MixtureRecipe, ValidationRecipe
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.trial import GradeTrial
from interank.training.checkpoints import last_complete
from interank.training.failures import explained
from interank.training.sft import TrainingOutcome, train
from interank.training.trials import Trial
from tests.support import rule, training_data


def recipe_of(validation: ValidationRecipe, **trainer: Any) -> DistillJudge:
    return DistillJudge(
        stage="distill",
        student="unused",
        loss=LossRecipe(tokens=1.0, listwise=1.0),
        mixture=MixtureRecipe(score=1.0),
        validation=validation,
        trainer={
            "max_steps": 6,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "save_steps": 1,
            "logging_steps": 1,
            "learning_rate": 1.0e-2,
            **trainer,
        },
    )


def trained(tiny_folder: Path, folder: Path, recipe: DistillJudge, trial: Trial | None) -> tuple[TrainingOutcome, Any]:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples(), MixtureRecipe(score=1.0))
    model = training_data.model_of(tiny_folder)
    found = train(model, encoder, groups, recipe, folder=folder, checkpointing=False, trial=trial)
    return found, model


class Scripted:
    """A trial whose nDCG is given, and which remembers the weights that it saw."""

    def __init__(self, *values: float) -> None:
        self.values: Iterator[float] = iter(values)
        self.seen: list[torch.Tensor] = []

    def __call__(self, model: Any) -> dict[str, float]:
        assert not model.training
        self.seen.append(weights(model))
        return {"nDCG@10": next(self.values), "grade_accuracy": 0.5}


def weights(model: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for name, weight in model.named_parameters() if "lora_" in name])


def test_the_best_adapter_is_kept_and_training_ends_where_nothing_gets_better(
    tiny_folder: Path, tmp_path: Path
) -> None:
    trial = Scripted(0.1, 0.3, 0.6, 0.5, 0.4, 0.2)
    found, model = trained(tiny_folder, tmp_path / "checkpoints", recipe_of(ValidationRecipe(patience=2)), trial)
    # Untrained, then steps 1 to 4: the third and fourth are no better than the second.
    assert len(trial.seen) == 5
    assert found.figures["steps"] == 4
    assert (found.figures["best_step"], found.figures["best_nDCG@10"]) == (2, 0.6)
    assert torch.equal(weights(model), trial.seen[2])
    assert not torch.equal(trial.seen[2], trial.seen[4])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["eval_nDCG@10"] for line in lines if "eval_nDCG@10" in line] == [0.1, 0.3, 0.6, 0.5, 0.4]


def test_the_last_step_is_tried_although_it_is_no_multiple(tiny_folder: Path, tmp_path: Path) -> None:
    trial = Scripted(0.1, 0.2, 0.9)
    recipe = recipe_of(ValidationRecipe(every=2), max_steps=3, save_steps=2)
    found, model = trained(tiny_folder, tmp_path / "checkpoints", recipe, trial)
    assert found.figures["best_step"] == 3
    assert torch.equal(weights(model), trial.seen[2])


def test_a_row_of_the_log_that_a_kill_cut_in_two_is_dropped(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 0}\n{"step": 1, "lo')
    trained(tiny_folder, tmp_path / "checkpoints", recipe_of(ValidationRecipe(questions=0), max_steps=2), None)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps[:3] == [0, 1, 2]


def test_without_trials_the_last_adapter_is_kept(tiny_folder: Path, tmp_path: Path) -> None:
    found, _ = trained(tiny_folder, tmp_path / "checkpoints", recipe_of(ValidationRecipe()), None)
    assert found.figures["steps"] == 6
    assert "best_step" not in found.figures
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-6"]


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_rows_so_long_that_all_positions_are_read_otherwise_are_refused(
    tiny_folder: Path, tmp_path: Path, kind: str
) -> None:
    encoder, model = training_data.encoder_of(tiny_folder), training_data.model_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples(), MixtureRecipe(score=1.0))
    longest = max(len(row.input_ids) for group in groups for row in group)
    recipe = recipe_of(ValidationRecipe(questions=0), max_steps=1)
    for most, refused in ((longest - 1, True), (longest, False)):
        model.get_base_model().config.rope_parameters = {
            "rope_type": kind,
            "rope_theta": 1e4,
            "original_max_position_embeddings": most,
        }
        if refused:
            with pytest.raises(TrainingError, match=f"{longest} tokens.*beyond {most}.*{kind}.*max_document_tokens"):
                train(model, encoder, groups, recipe, folder=tmp_path / "work", checkpointing=False)
        else:
            train(model, encoder, groups, recipe, folder=tmp_path / "work", checkpointing=False)


def test_a_trial_tells_ranking_grades_and_calibration(tiny_folder: Path) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    held = validation_sample(by_question(rule.examples(5, queries=4, split="validation")), 3, seed=1)
    assert len({item.query.query_id for item in held}) == 3
    figures = GradeTrial(encoder, held)(training_data.model_of(tiny_folder))
    assert set(figures) == {"nDCG@10", "grade_accuracy", "mean_absolute_error", "calibration_error"}
    assert 0 < figures["nDCG@10"] <= 1
    assert 0 < figures["mean_absolute_error"] < 2
    assert 0 <= figures["calibration_error"] <= 1


def test_questions_that_cannot_be_ranked_are_not_tried() -> None:
    examples = rule.examples(0, queries=2, split="validation")
    alike = [item for item in examples if item.judgment.relevance == 0]
    assert validation_sample(by_question(alike), 5, seed=0) == []


def test_a_loss_that_turns_into_no_number_leaves_the_checkpoint_before(tiny_folder: Path, tmp_path: Path) -> None:
    class Poisoned(Scripted):
        def __call__(self, model: Any) -> dict[str, float]:
            found = super().__call__(model)
            if len(self.seen) == 4:
                next(w for n, w in model.named_parameters() if "lora_A" in n).data.fill_(math.nan)
            return found

    folder = tmp_path / "checkpoints"
    trial = Poisoned(*[0.1] * 9)
    with pytest.raises(TrainingError, match=r"step 3: the adapter's weights"):
        trained(tiny_folder, folder, recipe_of(ValidationRecipe()), trial)
    assert last_complete(folder) == folder / "checkpoint-2"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"disk that holds .* is full; .*checkpoint-2.*--resume"),
        (RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file"), "full"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
            r"memory; .*batch_size.* window or prompt\.max_length",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), r"not enough memory; .*nf4"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_ends_a_training_is_told_in_a_sentence(tmp_path: Path, error: Exception, said: str) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "complete").touch()
    with pytest.raises(TrainingError, match=said), explained(tmp_path, ("window", "prompt.max_length")):
        raise error


def test_other_failures_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), explained(tmp_path):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
