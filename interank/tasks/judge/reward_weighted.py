"""Training by the original InteRank's refinement: rewarded answers are learned, each with a weight.

Its released code samples 8 answers, sets the teacher's beside them, takes a reward model's output, scales it to 0 to 1
within the pair, keeps what reaches 0.85 and minimises r^3 times the answer's mean cross-entropy. Its own faults (the
prompt in the loss, an end-of-turn that is never learned, a fresh adapter) are not reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from trl import SFTConfig, SFTTrainer

from interank.progress import shown
from interank.tasks.judge.answers import WeightedAnswer
from interank.training.checkpoints import accompany, load_trained, resumed_from, run_to_end
from interank.training.dealing import shared, with_parts
from interank.training.devices import configured, on_one_device, owned, shared_out

IGNORED = -100
# The released code's: rate, constant schedule, clipping, decay and batch.
_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 16,
    "weight_decay": 0.001,
    "max_grad_norm": 0.3,
    "logging_steps": 1,
    "save_steps": 50,
    "report_to": "none",
}


class _Trainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Minimises the mean over answers of weight times mean cross-entropy."""

    def __init__(self, **trainer_options: Any) -> None:
        super().__init__(**trainer_options)
        self.model_accepts_loss_kwargs = False

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_trained(self, resume_from_checkpoint)

    def get_train_dataloader(self) -> Any:
        """Each process's answers."""
        return shared(super().get_train_dataloader())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """A step's microbatches; where processes share them, each with its part of the step's mean."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        return with_parts(batches), items

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """The batch's loss."""
        labels, weights = inputs["labels"][:, 1:], inputs["weight"]
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, :-1].float()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        loss: torch.Tensor = (weights * each.sum(1) / (labels != IGNORED).sum(1).clamp(min=1)).mean()
        share: torch.Tensor = loss * inputs["part"]
        return share


def train(
    model: PeftModel,
    tokenizer: Any,
    answers: Sequence[WeightedAnswer],
    *,
    trainer: Mapping[str, Any],
    seed: int,
    folder: Path,
) -> Mapping[str, float]:
    """Train the model's adapter in place, from the last complete checkpoint in `folder` if there is one."""
    checkpoint = resumed_from(folder)
    config = configured(
        SFTConfig,
        {
            **shared_out({**_DEFAULTS, **dict(trainer)}),
            **owned(model, folder=folder, seed=seed),
            "max_length": None,
            "dataset_kwargs": {"skip_prepare_dataset": True},
        },
    )
    sft = _Trainer(
        model=model,
        args=on_one_device(config),
        # Indices alone; the collator looks the answers up.
        train_dataset=Dataset.from_dict({"number": list(range(len(answers)))}),
        processing_class=tokenizer,
        data_collator=lambda rows: _collated([answers[row["number"]] for row in rows] or [_NOTHING], bool(rows)),
    )
    accompany(sft, folder.parent / "log.jsonl", bar=shown())
    return run_to_end(sft, checkpoint)


# The row of a process that has no answers in a microbatch; it does not count.
_NOTHING = WeightedAnswer(np.zeros(1, np.int32), np.zeros(1, np.int32), 0.0)


def _collated(rows: Sequence[WeightedAnswer], counts: bool) -> dict[str, Any]:
    """Rows padded on the right, with loss on the answers alone; `counts` is false for a placeholder."""
    width = max(len(row.prompt) + len(row.answer) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for place, row in enumerate(rows):
        begin, end = len(row.prompt), len(row.prompt) + len(row.answer)
        ids[place, :begin], ids[place, begin:end] = torch.from_numpy(row.prompt), torch.from_numpy(row.answer)
        labels[place, begin:end] = ids[place, begin:end]
        mask[place, :end] = 1
    weights = torch.tensor([row.weight for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weight": weights, "part": int(counts)}
