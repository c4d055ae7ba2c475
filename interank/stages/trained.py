"""What every training leaves beside its adapter: the form of the base's weights, and what it took."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from interank.artifact import Workplace
from interank.engines.models import device
from interank.settings import Quantisation


def base_weights(model: Any, quantisation: Quantisation) -> str:
    """What the frozen weights are in."""
    return quantisation if quantisation != "none" else str(model.dtype).removeprefix("torch.")


def write_cost(place: Workplace, figures: Mapping[str, Any], seconds: float) -> None:
    """Write what a training took, and its log beside it."""
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device(), "trainer": dict(figures)})
    log_file = place.work / "log.jsonl"
    if log_file.exists():
        shutil.copyfile(log_file, place.folder / "log.jsonl")
