"""A reward model on a tiny base whose scores differ, and a policy's adapter on the same base."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from interank.artifact import RECIPE, Artifact, Workplace, create
from interank.engines.adapters import ADAPTER_WEIGHTS
from interank.engines.reward_adapter import HEAD, WEIGHT
from interank.stages import reward
from tests.support.marked_explanations import explained_artifact, judged, recipe_of


def tiny_reward(base: Path, folder: Path, name: str = "reward", **notes: object) -> Artifact:
    """Trained for two steps, then given weights that move every score; the manifest says what `notes` say besides."""
    judgments = explained_artifact(folder / f"{name}-explained", judged(queries=3, held_out=2))
    trained = reward.run(recipe_of(base, judgments, controls=False), folder / f"{name}-trained")
    place = create(folder / name, "reward", recipe=trained.recipe(), inputs={})
    assert isinstance(place, Workplace)
    for file in trained.path.rglob("*"):
        if file.is_file() and file.name not in ("manifest.json", RECIPE):
            own = place.folder / file.relative_to(trained.path)
            own.parent.mkdir(exist_ok=True)
            own.write_bytes(file.read_bytes())
    generator = torch.Generator().manual_seed(3)
    weights = load_file(place.folder / "adapter" / ADAPTER_WEIGHTS)
    for key, weight in weights.items():
        if "lora_B" in key:
            weights[key] = torch.randn(weight.shape, generator=generator) * 0.1
    save_file(weights, place.folder / "adapter" / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    save_file({WEIGHT: torch.randn(1, 64, generator=generator)}, place.folder / HEAD)
    kept = ("base_origin", "base_digest", "prompt_hash", "head", "base")
    told = {key: trained.manifest[key] for key in kept}
    return place.finish(seed=0, counts={}, notes={**told, **notes})
