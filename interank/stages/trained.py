"""What every training leaves beside its adapter: the form of the base's weights, and what it took."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Workplace
from interank.engines.bases import base_facts
from interank.engines.models import ModelFiles, device
from interank.settings import PromptSettings, Quantisation


def base_weights(model: Any, quantisation: Quantisation) -> str:
    """What the frozen weights are in."""
    return quantisation if quantisation != "none" else str(model.dtype).removeprefix("torch.")


def write_cost(place: Workplace, figures: Mapping[str, Any], seconds: float) -> None:
    """Write what a training took, and its log beside it."""
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device(), "trainer": dict(figures)})
    log_file = place.work / "log.jsonl"
    if log_file.exists():
        shutil.copyfile(log_file, place.folder / "log.jsonl")


def adapter_notes(base: ModelFiles, prompt: PromptSettings, quantisation: Quantisation, out: Path) -> dict[str, Any]:
    """What the manifest of an adapter at `out` says so that it can be used as it was trained."""
    return {
        **base_facts(base, out),
        "quantisation": quantisation,
        "device": device(),
        "prompt": prompt.model_dump(mode="json"),
        "prompt_hash": judging.prompt_hash(fence=prompt.fence),
    }
