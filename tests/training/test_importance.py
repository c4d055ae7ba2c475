"""Truncated importance sampling is TRL's own, from the loss's forward pass in place of one for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOTrainer

from interank.settings import RolloutsRecipe
from interank.training.agreement import Agreement
from interank.training.policy import PolicyTrainer, SharedPrefixTrainer
from tests.support import stored_completions

CLIP = 1.3
# As far from the trainer as makes some weights reach the bound, and some not.
SPREAD = 0.3


def batch_of(trainer: GRPOTrainer) -> dict[str, Any]:
    """A microbatch whose sampler was another than the trainer, and told nothing of every seventh token."""
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    inputs: dict[str, Any] = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    with torch.no_grad():
        ours = log_probabilities(trainer, inputs)
    # By what a row says, not where it stands: TRL shuffles the batch before it is split.
    noise = torch.stack(
        [torch.randn(ours.shape[1], generator=torch.Generator().manual_seed(int(ids.sum()))) for ids in rows(inputs)]
    )
    sampled = ours + SPREAD * noise
    sampled[:, 3::7] = torch.nan
    return {**inputs, "sampling_per_token_logps": sampled}


def rows(inputs: dict[str, Any]) -> torch.Tensor:
    return torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)


def log_probabilities(trainer: GRPOTrainer, inputs: dict[str, Any]) -> torch.Tensor:
    found: torch.Tensor = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        rows(inputs),
        torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
        inputs["completion_ids"].size(1),
    )[0]
    return found


def gradients(trainer: GRPOTrainer, inputs: dict[str, Any]) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.item(), torch.cat([w.grad.flatten() for w in trainer.model.parameters() if w.grad is not None])


def trl_corrected(folder: Path, **settings: Any) -> tuple[float, torch.Tensor]:
    """TRL's loss as after its own vLLM, whose weights it had from a pass before."""
    trainer = stored_completions.trainer(
        GRPOTrainer,
        stored_completions.model(),
        folder,
        vllm_importance_sampling_mode="token_truncate",
        gradient_accumulation_steps=1,
        steps_per_generation=1,
        **settings,
    )
    inputs = batch_of(trainer)
    with torch.no_grad():
        off = (log_probabilities(trainer, inputs) - inputs["sampling_per_token_logps"]) * inputs["completion_mask"]
    inputs["importance_sampling_ratio"] = off.nan_to_num(nan=0.0).exp().clamp(max=CLIP)
    trainer.use_vllm = True
    return gradients(trainer, inputs)


def sampled_by(trainer: PolicyTrainer, recipe: RolloutsRecipe) -> None:
    """Have the trainer go by a recipe; what is off here on purpose is not what its check is after."""
    trainer.rollout_settings, trainer.agreement = recipe, Agreement(recipe)


def ours_corrected(
    kind: type[PolicyTrainer], folder: Path, clip: float | None, **settings: Any
) -> tuple[float, torch.Tensor, dict[str, Any]]:
    trainer = stored_completions.trainer(
        kind, stored_completions.model(), folder, gradient_accumulation_steps=1, steps_per_generation=1, **settings
    )
    sampled_by(trainer, RolloutsRecipe(importance_clip=clip, tolerance=10.0))
    inputs = batch_of(trainer)
    kept = {name: value.clone() for name, value in inputs.items() if torch.is_tensor(value)}
    loss, found = gradients(trainer, inputs)
    assert all(torch.equal(inputs[name].nan_to_num(), value.nan_to_num()) for name, value in kept.items())
    return loss, found, trainer._metrics["train"]


@pytest.mark.parametrize("kind", [PolicyTrainer, SharedPrefixTrainer])
@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "cispo", "sapo", "vespo"])
def test_weights_are_those_of_trl(tmp_path: Path, kind: type[PolicyTrainer], loss_type: str) -> None:
    settings = {
        "loss_type": loss_type,
        "per_device_train_batch_size": stored_completions.DOCUMENTS * stored_completions.GROUP,
    }
    expected_loss, expected = trl_corrected(tmp_path / "trl", **settings)
    loss, found, metrics = ours_corrected(kind, tmp_path / "ours", CLIP, **settings)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert float((found - expected).norm() / expected.norm()) <= 1e-4
    assert metrics["sampling/difference"][0] == pytest.approx(SPREAD * (2 / torch.pi) ** 0.5, rel=0.2)
    assert 0.8 < metrics["sampling/weight"][0] < 1.1
    _, plain, _ = ours_corrected(kind, tmp_path / "plain", None, **settings)
    assert float((plain - expected).norm() / expected.norm()) > 1e-2, "the weights change nothing here"


def test_where_weights_have_moved_those_that_sampled_count(tmp_path: Path) -> None:
    """In the second pass over a batch the ratio to the sampler is that of the first."""
    settings: dict[str, Any] = {"gradient_accumulation_steps": 1, "steps_per_generation": 1, "num_iterations": 2}
    trainer = stored_completions.trainer(PolicyTrainer, stored_completions.model(), tmp_path, **settings)
    sampled_by(trainer, RolloutsRecipe(importance_clip=CLIP, tolerance=10.0))
    inputs = batch_of(trainer)
    assert inputs["old_per_token_logps"] is not None
    gradients(trainer, inputs)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.add_(0.01 * torch.randn(weight.shape) if weight.requires_grad else 0.0)
    gradients(trainer, inputs)
    first, second = trainer._metrics["train"]["sampling/difference"]
    assert first == second
