"""`beta` holds a grade that is not sampled as it holds one that is: by the same divergence, by the same weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.rewards import WeightedReward
from interank.settings import LoraRecipe, PromptSettings
from interank.tasks.judge.rollouts import Rollouts
from interank.training.adapters import fresh_adapter
from interank.training.grade_gradient import GradeLoss
from interank.training.grade_probabilities import divergence
from interank.training.grpo import prepare
from interank.training.objective import Objective
from interank.training.policy import PolicyTrainer
from tests.support import rule

LOSSES = ["dapo", "grpo", "bnpo", "dr_grpo", "luspo", "sapo", "cispo"]
LEAD, LABELS, OTHER, TAIL = (5,), (10, 11, 12), 13, 20
# Of two prompts what the policy gives to the three grades and to any other token, and how many tokens follow.
POLICY = torch.tensor([[1 / 2, 1 / 4, 1 / 8, 1 / 8], [1 / 8, 1 / 8, 1 / 2, 1 / 4]])
REFERENCE = torch.tensor([[0.1, 0.3, 0.4, 0.2], [0.3, 0.3, 0.3, 0.1]])
FOLLOW = (0, 2)
WIDTH = len(LEAD) + 1 + max(FOLLOW)


class Spoken(PolicyTrainer):
    """TRL's loss of a policy that is these logits."""

    logits: torch.Tensor

    def _log_probabilities(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **_: Any
    ) -> Any:
        chosen = tokens_of(input_ids[:, -logits_to_keep + len(LEAD)])
        logps = self.logits.log_softmax(1)[input_ids[:, 0], chosen]
        found = torch.nn.functional.pad(logps[:, None], (len(LEAD), logits_to_keep - len(LEAD) - 1))
        return found, torch.zeros_like(found), None


def tokens_of(ids: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[*LABELS, OTHER].index(int(index)) for index in ids])


def batch() -> dict[str, torch.Tensor]:
    """Every outcome of both prompts, as often among eight as the policy gives it: its mean is the expectation."""
    rows, masks = [], []
    for prompt, follow in enumerate(FOLLOW):
        for token, share in zip([*LABELS, OTHER], POLICY[prompt].tolist(), strict=True):
            completion = [*LEAD, token, *[TAIL] * follow]
            rows += [[prompt, *completion, *[0] * (WIDTH - len(completion))]] * round(8 * share)
            masks += [[1] * len(completion) + [0] * (WIDTH - len(completion))] * round(8 * share)
    ids, mask = torch.tensor(rows), torch.tensor(masks)
    spoken = torch.tensor([[0] * len(LEAD) + [1] * (WIDTH - len(LEAD))]).expand_as(mask).clone()
    return {
        "prompt_ids": ids[:, :1],
        "prompt_mask": torch.ones_like(ids[:, :1]),
        "completion_ids": ids[:, 1:],
        "completion_mask": mask,
        "tool_mask": spoken,
        "advantages": torch.zeros(len(ids)),
    }


def sampled() -> dict[str, torch.Tensor]:
    inputs = batch()
    chosen = tokens_of(inputs["completion_ids"][:, len(LEAD)])
    reference = REFERENCE.log()[inputs["prompt_ids"][:, 0], chosen]
    return inputs | {
        "ref_per_token_logps": torch.nn.functional.pad(reference[:, None], (len(LEAD), WIDTH - len(LEAD) - 1)),
        "num_items_in_batch": 2 * (inputs["completion_mask"] * inputs["tool_mask"]).sum(),
    }


def summed() -> dict[str, torch.Tensor]:
    inputs = sampled()
    rows = len(inputs["prompt_ids"])
    inputs["tool_mask"][:, len(LEAD)] = 0
    return inputs | {
        "num_items_in_batch": 2 * (inputs["completion_mask"] * inputs["tool_mask"]).sum(),
        "graded_items": torch.tensor(2 * rows),
        "grade_at": torch.full((rows,), len(LEAD)),
        "judged": torch.zeros(rows, dtype=torch.long),
        "reference_grades": REFERENCE[inputs["prompt_ids"][:, 0], :3].log(),
    }


def encoder_and_model(tiny_folder: Path) -> tuple[PromptEncoder, Any]:
    files = find_model(str(tiny_folder))
    model = fresh_adapter(load_model(files), LoraRecipe(rank=4, alpha=8, dropout=0.2), seed=0)
    settings = PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    return PromptEncoder(load_tokenizer(files), settings), model


def nothing(*, completions: Any, **_: Any) -> list[float | None]:
    return [0.0] * len(completions)


def spoken(tiny_folder: Path, folder: Path, loss_type: str, *, corrected: bool) -> Spoken:
    encoder, model = encoder_and_model(tiny_folder)
    rollouts = Rollouts(encoder, rule.examples(0, queries=1), tokens=12, seed=3)
    settings = {
        "num_generations": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "beta": 0.7,
        "loss_type": loss_type,
        "use_bias_correction_kl": corrected,
        "gradient_checkpointing": False,
    }
    objective = Objective([WeightedReward(nothing)])
    trainer = prepare(model, rollouts, objective, trainer=settings, folder=folder / "c", shared_prefix=False)
    trainer.__class__ = Spoken
    trainer.current_gradient_accumulation_steps = 2
    trainer.model.train()
    assert isinstance(trainer, Spoken)
    return trainer


def loss_and_gradient(
    trainer: Spoken, inputs: Mapping[str, torch.Tensor], grade: GradeLoss
) -> tuple[float, torch.Tensor]:
    trainer.objective = Objective([WeightedReward(nothing, credit="grade")], lead=LEAD, labels=LABELS, grade=grade)
    trainer.logits = POLICY.log().requires_grad_()
    loss = trainer._compute_loss(trainer.model, dict(inputs))
    [gradient] = torch.autograd.grad(loss, trainer.logits)
    return float(loss.detach()), gradient


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_grade_is_held_as_a_sampled_one_is_in_the_mean(tiny_folder: Path, tmp_path: Path, loss_type: str) -> None:
    """By TRL's own loss, whose estimate of the divergence has its gradient where it is corrected for who sampled."""
    trainer = spoken(tiny_folder, tmp_path, loss_type, corrected=True)
    wanted, slope = loss_and_gradient(trainer, sampled(), GradeLoss())
    found, ours = loss_and_gradient(trainer, summed(), GradeLoss(instead=True))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert ours == pytest.approx(slope, abs=1e-6)
    assert float(ours.abs().max()) > 1e-3
    assert len(trainer._metrics["train"]["kl/grade"]) == 1


def test_without_the_correction_both_pull_the_same_way(tiny_folder: Path, tmp_path: Path) -> None:
    """TRL's default estimate has the divergence's value, and the gradient of the one with its arguments changed."""
    trainer = spoken(tiny_folder, tmp_path, "dapo", corrected=False)
    wanted, slope = loss_and_gradient(trainer, sampled(), GradeLoss())
    found, ours = loss_and_gradient(trainer, summed(), GradeLoss(instead=True))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert float((ours * slope).sum() / ours.norm() / slope.norm()) > 0.9
    assert 0.5 < float(ours.norm() / slope.norm()) < 2


def test_the_divergence_counts_all_other_tokens_as_one_and_knows_no_infinity() -> None:
    labels, reference = POLICY[:, :3].log(), REFERENCE[:, :3].log()
    wanted = (POLICY * (POLICY / REFERENCE).log()).sum(1)
    assert divergence(labels, reference) == pytest.approx(wanted, abs=1e-6)
    # Rounded to nothing left for other tokens.
    certain = torch.tensor([[-1e-9, -30.0, -40.0]], requires_grad=True)
    away = divergence(certain, torch.tensor([[-0.1, -3.0, -4.0]]))
    away.sum().backward()
    assert away.isfinite().all()
    assert certain.grad is not None
    assert certain.grad.isfinite().all()


@pytest.mark.parametrize("shared", [True, False])
def test_the_reference_is_the_adapter_at_the_start(tiny_folder: Path, tmp_path: Path, shared: bool) -> None:
    encoder, model = encoder_and_model(tiny_folder)
    examples = rule.examples(0, queries=1)[:3]
    rollouts = Rollouts(encoder, examples, tokens=12, seed=3)
    start = TransformersEngine(model).label_logits(
        [prompt.then(encoder.label_lead) for prompt in rollouts.prompts], encoder.label_ids
    )
    settings = {"num_generations": 2, "per_device_train_batch_size": 4, "beta": 0.1, "gradient_checkpointing": False}
    objective = Objective([WeightedReward(nothing, credit="grade")], lead=encoder.label_lead, labels=encoder.label_ids)
    trainer = prepare(model, rollouts, objective, trainer=settings, folder=tmp_path / "c", shared_prefix=shared)
    for name, weight in model.named_parameters():
        if "lora_B.default" in name:
            torch.nn.init.normal_(weight, std=0.3)
    # Each prompt twice, the last not graded.
    ids = [prompt.ids for prompt in rollouts.prompts for _ in range(2)]
    longest = max(map(len, ids))
    completions = torch.zeros((len(ids), len(encoder.label_lead) + 2), dtype=torch.long)
    found = trainer.reference_grades(
        {
            "prompt_ids": torch.tensor([[0] * (longest - len(row)) + list(row) for row in ids]),
            "prompt_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids]),
            "completion_ids": completions,
            "completion_mask": torch.ones_like(completions),
            "grade_at": torch.tensor([len(encoder.label_lead)] * 4 + [-1] * 2),
        },
    )
    for place, read in enumerate(start[:2]):
        wanted = torch.tensor(read.logits).log_softmax(0) + torch.tensor(read.mass).log()
        for row in (2 * place, 2 * place + 1):
            assert found[row] == pytest.approx(wanted, abs=1e-4)
    assert not found[4:].any()
