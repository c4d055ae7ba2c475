"""Supervised fine-tuning of an adapter on judgments, by TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from trl import SFTConfig, SFTTrainer

from interank.progress import shown
from interank.training.checkpoints import accompany, last_complete
from interank.training.rows import Row

# Where a recipe says nothing. Rates for LoRA are about ten times those for full training; the schedule's
# shape and clipping are those of the QLoRA paper (arXiv 2305.14314, appendix B).
_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "max_grad_norm": 0.3,
    "logging_steps": 10,
    "save_steps": 100,
    "report_to": "none",
}


def train(
    model: PeftModel,
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    trainer: Mapping[str, Any],
    seed: int,
    folder: Path,
) -> Mapping[str, float]:
    """Train the model's adapter in place, from the last complete checkpoint in `folder` if there is one.

    Returns:
        The trainer's closing figures: loss, seconds, steps.
    """
    folder.mkdir(exist_ok=True)
    config = SFTConfig(
        **{
            **_DEFAULTS,
            **dict(trainer),
            "output_dir": str(folder),
            "seed": seed,
            "max_length": None,
            "packing": False,
            "remove_unused_columns": False,
            "use_cpu": model.device.type == "cpu",
            "bf16": model.device.type != "cpu",
            "dataset_kwargs": {"skip_prepare_dataset": True},
        }
    )
    sft = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list([dict(row) for row in rows]),
        processing_class=tokenizer,
    )
    accompany(sft, folder.parent / "log.jsonl", bar=shown())
    checkpoint = last_complete(folder)
    outcome = sft.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return {**outcome.metrics, "steps": outcome.global_step}
