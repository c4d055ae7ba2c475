"""Groups of the rule's documents for heads, in ids, and heads to train on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainingArguments

from interank.engines.models import find_model, load_classifier, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.judgments import JudgedList, by_question
from interank.settings import HeadSettings, LoraRecipe
from interank.settings.heads import Objective
from interank.tasks.head.groups import TeacherScores, drawn
from interank.tasks.head.training import HeadGroup, HeadTrainer, head_groups
from interank.training.adapters import fresh_adapter
from interank.training.ranking_losses import HeadLoss
from interank.training.trials import Trial
from tests.support import rule


def encoder_of(folder: Path) -> PairEncoder:
    return PairEncoder(load_tokenizer(find_model(str(folder))), HeadSettings(max_length=64))


def lists_of(seed: int = 0, *, queries: int, documents: int = 6) -> list[JudgedList]:
    """A group of each query; every second query has two documents fewer, so that groups are of two sizes."""
    judged = map(JudgedList.of, by_question(rule.examples(seed, queries=queries, documents=documents)))
    return [drawn(item, documents - 2 * (place % 2), 1, seed)[0] for place, item in enumerate(judged)]


def groups_in_ids(
    encoder: PairEncoder, lists: Sequence[JudgedList], teacher: TeacherScores | None = None
) -> list[HeadGroup]:
    return list(head_groups(encoder, lists, teacher.of if teacher else None))


def head_of(folder: Path, *, seed: int = 0, layers: int | None = None) -> PeftModel:
    """A head whose adapter already does something, so that all its weights have gradients."""
    torch.manual_seed(seed)
    lora = LoraRecipe(rank=4, alpha=8, layers=layers)
    model = fresh_adapter(load_classifier(find_model(str(folder)), headless=True), lora, seed=seed, head=True)
    torch.manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def trainer_of(
    folder: Path,
    model: PeftModel,
    encoder: PairEncoder,
    groups: Sequence[HeadGroup],
    *,
    objective: Objective = "cross_entropy",
    trial: Trial | None = None,
    **settings: Any,
) -> HeadTrainer:
    arguments = TrainingArguments(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "per_device_train_batch_size": 2,
            "remove_unused_columns": False,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "max_grad_norm": 0.0,
            "seed": 3,
            **settings,
        }
    )
    return HeadTrainer(
        model=model, args=arguments, encoder=encoder, groups=groups, loss=HeadLoss(objective), trial=trial
    )
