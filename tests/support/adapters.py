"""An adapter artifact on a tiny model, as `distill` makes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interank.settings import LoraRecipe, PromptSettings
from interank.stages import distill
from interank.tasks.judge.recipe import DistillJudge
from interank.types import Source
from tests.support import rule
from tests.support.artifacts import judgments_artifact


def tiny_adapter(model: Path, folder: Path, source: Source | None = None) -> Path:
    """Trained for two steps; `adapter` in the folder, beside the judgments that it learned, of texts of the source."""
    examples = rule.examples(1, queries=2)
    if source:
        examples = [replace(example, source=source) for example in examples]
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(folder / "taught", examples),
        student=str(model),
        prompt=PromptSettings(max_length=300, max_query_tokens=64, max_document_tokens=64),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 2, "gradient_checkpointing": False, "save_strategy": "no"},
    )
    return distill.run(recipe, folder / "adapter").path
