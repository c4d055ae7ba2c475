"""Training of a head on which of two explanations is better, by TRL's RewardTrainer."""

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
from interank.training.sft import DEFAULTS, SftSettings, TrainingOutcome, begun, go_through

PREFERENCES: dict[str, Any] = {
    **DEFAULTS,
    "learning_rate": 1.0e-4,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.1,
    # Pairs of explanations; the two are rows of one batch.
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_grad_norm": 1.0,
    # Only differences are learned from; scores about 0 are where a sigmoid tells most.
    "center_rewards_coefficient": 0.01,
}


class _Trainer(RewardTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer; where several processes share its pairs out, each microbatch counts as it does in one."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        collated: Callable[[Sequence[Any]], dict[str, Any]] = self.data_collator  # type: ignore[has-type]

        def collate(rows: Sequence[Any]) -> dict[str, Any]:
            # Who has nothing to learn computes a pair for company.
            return {**collated(list(rows) or [self.train_dataset[0]]), "part": int(bool(rows))}

        if distributed.world() > 1:
            self.data_collator = collate

    def get_train_dataloader(self) -> Any:
        """Each process's pairs."""
        return shared(super().get_train_dataloader())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """A step's microbatches, each told its part of the step's mean."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        return with_parts(batches), items

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; of several processes without its figures, for which all would need as many pairs."""
        if distributed.world() == 1:
            return super().compute_loss(model, inputs, *args, **kwargs)
        found = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0]
        chosen, rejected = torch.chunk(found, 2)
        loss = -torch.nn.functional.logsigmoid(chosen - rejected - inputs["margin"]).mean()
        if self.args.center_rewards_coefficient is not None:
            loss = loss + self.args.center_rewards_coefficient * ((chosen + rejected) ** 2).mean()
        return inputs["part"] * loss


class Preference(NamedTuple):
    """Two explanations of a pair in ids, and by how many logits the better one is to lead."""

    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    margin: float


def let_pool_by_mask(model: Any, encoder: PairEncoder) -> None:
    """Have a classifier read a row where its mask ends.

    transformers reads it at the last id that is not the padding's, which is another where a row ends with the token
    that pads.
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
    checkpoint, given = begun(folder, settings, PREFERENCES, tried=False)
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
    return go_through(trainer, checkpoint, settings, tried=False)
