"""Loads an adapter on its base in float32, and writes the two merged in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from interank.engines.adapters import folded, with_adapter
from interank.engines.models import load_model
from interank.engines.prompts import PromptEncoder
from interank.engines.use import Use, save_use
from interank.tasks.sources import Source


def adapted(source: Source) -> Any:
    """The base model in float32 with its adapter attached, unmerged; without an adapter, the base model alone."""
    model = load_model(source.files, precision="float32")
    return with_adapter(model, source.adapter) if source.adapter else model


def write_merged(model: Any, encoder: PromptEncoder, folder: Path, *, modes: tuple[str, ...] = ()) -> None:
    """Merge the adapter into the model, in place, and write it in bfloat16 with tokenizer and prompt settings."""
    whole = folded(model, safe=True)
    whole.to(torch.bfloat16).save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    save_use(folder, Use(encoder.settings, modes))
