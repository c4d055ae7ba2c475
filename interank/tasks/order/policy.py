"""The policy that orders lists, trained by GRPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interank.artifact import Artifact
from interank.engines.models import ModelFiles, load_tokenizer
from interank.rewards import Subject
from interank.settings import ListPromptSettings
from interank.settings.base import validated
from interank.tasks.list_columns import check as check
from interank.tasks.list_columns import shown as shown
from interank.tasks.list_policy import ListPolicy, list_policy
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.recipe import RlOrder
from interank.tasks.order.trial import ListTrial

SUBJECT: Subject = "lists"


def policy(recipe: RlOrder, adapter: Artifact, base: ModelFiles, work: Path) -> ListPolicy:
    """The policy: lists to train on and to validate with, in the adapter's prompts.

    Raises:
        InputError: No query has documents of two grades, or a completion has no room for a ranking.
    """
    encoder = prompts(adapter, load_tokenizer(base))
    does = "orders lists of documents"
    return list_policy(recipe, adapter, work, base=base, encoder=encoder, trial=ListTrial, does=does)


def prompts(adapter: Artifact, tokenizer: Any) -> ListEncoder:
    """The encoder of the prompts that an adapter was trained on."""
    settings = validated(ListPromptSettings, adapter.manifest["prompt"], f"{adapter.path}: prompt")
    return ListEncoder.of(tokenizer, settings)
