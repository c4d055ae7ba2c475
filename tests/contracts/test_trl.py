"""What interank relies on TRL to do, beside its methods being there: shown with TRL's own trainers on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import split_tensor_dict, use_adapter

from interank.training.fused_head import FusedHead
from tests.contracts.parts import GRPO_ATTRIBUTES, SFT_ATTRIBUTES
from tests.support import stored_completions, tiny


class Followed(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer, which tells in which order its parts are called, and with what."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[str] = []
        self.given: dict[str, Any] = {}


def _follow(name: str) -> None:
    def part(self: Followed, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(name)
        self.given[name] = args
        return getattr(GRPOTrainer, name)(self, *args, **kwargs)

    setattr(Followed, name, part)


SEAMS = (
    "_prepare_inputs",
    "_generate_and_score_completions",
    "_generate",
    "_calculate_rewards",
    "compute_loss",
    "_compute_loss",
    "_get_per_token_logps_and_entropies",
)
for seam in SEAMS:
    _follow(seam)


class Telling(stored_completions.Stored):
    """Tells a log-probability of every second token, and a column for the rewards."""

    def __call__(self, numbers: list[str], trainer: Any) -> dict[str, Any]:
        found = super().__call__(numbers, trainer)
        logprobs = [[-1.0 if place % 2 else None for place in range(len(row))] for row in found["completion_ids"]]
        return {**found, "logprobs": logprobs, "told": [f"of {number}" for number in numbers]}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    trainer = stored_completions.trainer(
        Followed,
        stored_completions.model(),
        tmp_path_factory.mktemp("grpo"),
        gradient_accumulation_steps=1,
        max_steps=1,
    )
    assert isinstance(trainer, Followed)
    trainer.rollout_func = Telling()
    trainer.train()
    return trainer


def test_a_step_calls_its_parts_in_this_order(followed: Followed) -> None:
    assert tuple(followed.calls) == SEAMS


@pytest.mark.parametrize("name", GRPO_ATTRIBUTES)
def test_a_grpo_trainer_knows(followed: Followed, name: str) -> None:
    assert hasattr(followed, name)


def test_rewards_are_given_the_rows_that_completions_are_asked_for(followed: Followed) -> None:
    """What is written into a row there is read after, beside the columns that the rollout function told."""
    [rows], given = followed.given["_generate_and_score_completions"], followed.given["_calculate_rewards"]
    assert given[0] is rows
    assert [row["told"] for row in rows] == [f"of {row['prompt']}" for row in rows]
    assert len(given[2]) == len(given[3]) == len(rows)


def test_a_batch_has_the_rollouts_masks_and_log_probabilities(followed: Followed) -> None:
    _, batch = followed.given["_compute_loss"]
    assert batch["advantages"].shape == batch["completion_ids"].shape[:1]
    assert (batch["tool_mask"][:, 0] == 0).any(), "env_mask is no longer the batch's tool_mask"
    told = batch["sampling_per_token_logps"]
    assert told[:, 0].isnan().all()
    assert bool((told[:, 1][batch["completion_mask"][:, 1] > 0] == -1).all())
    assert batch["num_items_in_batch"] == (batch["completion_mask"] * batch["tool_mask"]).sum()
    # Prompts are padded on the left, completions on the right.
    assert bool(batch["prompt_mask"][:, -1].all() & batch["completion_mask"][:, 0].all())


def test_the_loss_asks_its_model_for_log_probabilities_alone(followed: Followed) -> None:
    """And reads advantages token by token where they have that shape."""
    _, batch = followed.given["_compute_loss"]
    followed.model.train()
    instead, asked = object(), []
    logps = torch.full(batch["completion_ids"].shape, -1.0, requires_grad=True)

    def read(model: Any, *_: Any, **__: Any) -> Any:
        asked.append(model)
        return logps, torch.zeros_like(logps), None

    advantages = torch.arange(logps.numel()).view(logps.shape).float()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(followed, "_get_per_token_logps_and_entropies", read)
        loss = GRPOTrainer._compute_loss(followed, instead, {**batch, "advantages": advantages})
    assert asked == [instead]
    [slope] = torch.autograd.grad(loss, logps)
    mask = batch["completion_mask"] * batch["tool_mask"]
    assert slope == pytest.approx(-advantages * mask / batch["num_items_in_batch"], rel=1e-5)


def test_figures_are_lists_whose_means_a_line_of_the_log_gets(followed: Followed) -> None:
    figures = followed._metrics["train"]
    figures["figure"] += [1.0, 3.0]
    followed.model.train()
    followed.log({"loss": 0.0})
    assert followed.state.log_history[-1]["figure"] == 2
    assert not figures, "figures that were logged are still there"
    assert followed._metrics["train"] is figures, "clock and validation callback hold other figures now"


def test_a_generation_batch_is_kept_for_its_steps(followed: Followed) -> None:
    assert followed._step == 1
    assert len(followed._buffered_inputs) == followed.args.steps_per_generation


def test_a_batch_is_cut_in_order() -> None:
    whole = {"a": torch.arange(4), "b": torch.arange(8).view(4, 2), "c": torch.tensor(3), "d": None}
    first, second = split_tensor_dict(whole, 2)
    assert (first["a"].tolist(), second["b"].tolist()) == ([0, 1], [[4, 5], [6, 7]])
    assert (second["c"], second["d"]) == (3, None)


def test_the_reference_is_an_adapter_called_ref(tmp_path: Path) -> None:
    """A copy of the adapter that is trained, made where `beta` asks for it."""
    model = stored_completions.trainer(GRPOTrainer, stored_completions.model(), tmp_path, beta=0.1).model
    weights = dict(model.named_parameters())
    copies = [name for name in weights if ".ref." in name]
    assert copies
    assert all(torch.equal(weights[name], weights[name.replace(".ref.", ".default.")]) for name in copies)
    with use_adapter(model, "ref"):
        assert model.active_adapter == "ref"
    assert model.active_adapter == "default"
    assert all(weight.requires_grad for name, weight in weights.items() if ".default." in name)


def test_the_fused_head_gives_log_probabilities_and_entropies() -> None:
    model = stored_completions.model().get_base_model()
    hidden, labels = torch.randn(1, 5, model.config.hidden_size), torch.tensor([[3, 4, 5, 6, 7]])
    head = FusedHead(model, temperature=0.7, cast_lm_head_to_fp32=False)
    found = head(hidden, labels)
    logps = (model.get_output_embeddings()(hidden) / 0.7).log_softmax(-1)
    assert found.log_probs == pytest.approx(logps.gather(-1, labels[..., None])[..., 0].detach(), abs=1e-5)
    assert found.entropy == pytest.approx(-(logps.exp() * logps).sum(-1).detach(), abs=1e-4)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> SFTTrainer:
    config = SFTConfig(
        output_dir=str(tmp_path_factory.mktemp("sft")),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=None,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTTrainer(
        model=stored_completions.model(),
        args=config,
        train_dataset=Dataset.from_dict({"group": [0]}),
        processing_class=tiny.tiny_tokenizer(),
        data_collator=lambda rows: rows,
    )


@pytest.mark.parametrize("name", SFT_ATTRIBUTES)
def test_an_sft_trainer_knows(supervised: SFTTrainer, name: str) -> None:
    assert hasattr(supervised, name)


def test_the_sft_trainers_dataset_is_left_as_it_is(supervised: SFTTrainer) -> None:
    assert supervised.train_dataset.column_names == ["group"]
    assert supervised._metrics.keys() == {"train", "eval"}
