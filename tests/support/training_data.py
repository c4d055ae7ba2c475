"""Groups of rows for a student: real examples through a real encoder, and trainers on the tiny model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from trl import SFTConfig

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.judgments import by_question
from interank.settings import LoraRecipe, PromptSettings
from interank.settings.student import LossRecipe, MixtureRecipe
from interank.tasks.judge.rows import training_groups
from interank.training.adapters import fresh_adapter
from interank.training.rows import Group
from interank.training.student import StudentTrainer
from interank.types import Example
from tests.support import rule

PROMPT = PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
ALL = MixtureRecipe(score=1.0, explain=1.0, reason=1.0, queries=1.0)
EVERY_PART = LossRecipe(tokens=1.0, grade=0.7, listwise=0.4)


def encoder_of(folder: Path) -> PromptEncoder:
    return PromptEncoder(load_tokenizer(find_model(str(folder))), PROMPT)


def examples(queries: int = 3, *, seed: int = 0) -> list[Example]:
    """Judged pairs, 4 or 5 a question, of texts of different lengths, some with the teacher's probabilities."""
    rng = random.Random(seed)
    found = []
    for number, item in enumerate(rule.examples(seed, queries=queries, documents=5)):
        if number % 7 == 6:
            continue
        longer = replace(item.document, text=" ".join([item.document.text] * rng.randint(1, 4)))
        first, second = sorted(rng.random() for _ in range(2))
        soft = (first, second - first, 1 - second) if number % 2 else None
        found.append(replace(item, document=longer, probabilities=soft))
    return found


def groups_of(encoder: PromptEncoder, given: Sequence[Example], mixture: MixtureRecipe = ALL) -> list[Group]:
    written = {item.query.query_id: ["red fox", "where foxes sit"] for item in given}
    return list(training_groups(encoder, by_question(given), mixture, documents=8, seed=1, queries=written))


def model_of(folder: Path, *, seed: int = 0) -> PeftModel:
    """An adapter that changes what the model says: LoRA's B is not zero."""
    model = fresh_adapter(load_model(find_model(str(folder))), LoraRecipe(rank=4, alpha=8), seed=seed)
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def config(folder: Path, **settings: Any) -> SFTConfig:
    return SFTConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
            "max_length": None,
            "remove_unused_columns": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "seed": 3,
            **settings,
        }
    )


def student_of(
    folder: Path,
    model: PeftModel,
    encoder: PromptEncoder,
    groups: Sequence[Group],
    *,
    weights: LossRecipe = EVERY_PART,
    shared_prefix: bool = True,
    **settings: Any,
) -> StudentTrainer:
    return StudentTrainer(
        model=model,
        args=config(folder, **settings),
        processing_class=encoder.tokenizer,
        groups=groups,
        label_ids=encoder.label_ids,
        weights=weights,
        shared_prefix=shared_prefix,
        trial=None,
    )


def gradients(model: PeftModel) -> torch.Tensor:
    return torch.cat([w.grad.flatten() for w in model.parameters() if w.requires_grad and w.grad is not None])
