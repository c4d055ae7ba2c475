"""Trains a head on preferences between two explanations, by TRL's RewardTrainer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from peft import PeftModel
from transformers.modeling_outputs import SequenceClassifierOutput
from trl import RewardConfig, RewardTrainer

from interank import distributed
from interank.engines.heads import head_logits
from interank.engines.pairs import PairBatch, PairEncoder
from interank.training.dealing import shared, with_parts
from interank.training.devices import configured, on_one_device, owned
from interank.training.sft import DEFAULTS, SftSettings, TrainingOutcome, checkpoint_and_fields, run_training

PREFERENCES: dict[str, Any] = {
    **DEFAULTS,
    "learning_rate": 1.0e-4,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.1,
    # In pairs of explanations, each of which is two rows of the batch.
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_grad_norm": 1.0,
    # The loss sees differences alone; this keeps scores near 0, where a sigmoid is steepest.
    "center_rewards_coefficient": 0.01,
}


class _Trainer(RewardTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer, whose microbatches count the same with several processes as with one."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        collated: Callable[[Sequence[Any]], dict[str, Any]] = self.data_collator  # type: ignore[has-type]

        def collate(rows: Sequence[Any]) -> dict[str, Any]:
            # A process without rows computes some pair, since the others wait for its gradients.
            return {**collated(list(rows) or [self.train_dataset[0]]), "part": int(bool(rows))}

        if distributed.world() > 1:
            self.data_collator = collate

    def get_train_dataloader(self) -> Any:
        """A loader of this process's pairs."""
        return shared(super().get_train_dataloader())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """A step's microbatches, each with its part of the step's mean."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        return with_parts(batches), items

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; with several processes without its figures, which need equally many pairs in all of them."""
        if distributed.world() == 1:
            return super().compute_loss(model, inputs, *args, **kwargs)
        scores = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0]
        chosen, rejected = torch.chunk(scores, 2)
        loss = -torch.nn.functional.logsigmoid(chosen - rejected - inputs["margin"]).mean()
        if self.args.center_rewards_coefficient is not None:
            loss = loss + self.args.center_rewards_coefficient * ((chosen + rejected) ** 2).mean()
        return inputs["part"] * loss


class Preference(NamedTuple):
    """Token ids of two explanations of a pair, and the margin in logits by which the chosen one should lead."""

    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    margin: float


def let_pool_by_mask(model: Any, encoder: PairEncoder) -> None:
    """Have a classifier pool each row at the end of its attention mask.

    transformers pools at the last id that is not the padding token, which is another position where a row itself ends
    with that token.
    """

    @functools.wraps(type(model).forward)
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        batch = PairBatch(input_ids, attention_mask, torch.zeros_like(input_ids), attention_mask.sum(1) - 1)
        return SequenceClassifierOutput(logits=head_logits(self, batch, encoder.settings)[:, None])

    model.forward = MethodType(forward, model)


def train(
    model: PeftModel, encoder: PairEncoder, preferences: Sequence[Preference], settings: SftSettings, *, folder: Path
) -> TrainingOutcome:
    """Train the adapter and its head in place, from the last complete checkpoint in `folder` if there is one.

    Raises:
        TrainingError: The loss is not a number, or disk or memory do not suffice; the last checkpoint is kept.
    """
    if distributed.first():
        folder.parent.mkdir(exist_ok=True)
    checkpoint, given = checkpoint_and_fields(folder, settings, PREFERENCES, tried=False)
    config = configured(
        RewardConfig,
        {**given, **owned(model, folder=folder, seed=settings.seed), "max_length": None},
    )
    let_pool_by_mask(model.get_base_model(), encoder)
    rows = [
        {"chosen_ids": list(each.chosen), "rejected_ids": list(each.rejected), "margin": each.margin}
        for each in preferences
    ]
    trainer = _Trainer(
        model=model,
        args=on_one_device(config),
        train_dataset=Dataset.from_list(rows),
        processing_class=encoder.tokenizer,
    )
    return run_training(trainer, checkpoint, settings, tried=False)
