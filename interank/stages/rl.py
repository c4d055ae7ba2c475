"""rl: an adapter to a better one, by GRPO on the same judgments."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, create, describe_input, open_artifact
from interank.engines.models import chosen_quantisation, device, find_model, load_model, load_tokenizer, with_adapter
from interank.engines.prompts import PromptEncoder
from interank.judgments import read_judgments
from interank.recipe import PromptSettings, RlRecipe
from interank.rewards import Reward
from interank.stages.distill import adapter_notes, write_cost
from interank.stages.inputs import require_inputs
from interank.stages.list_lessons import check_subject, list_rollouts
from interank.training.adapters import save_adapter
from interank.training.grpo import Rollouts, train, whole_queries

log = logging.getLogger(__name__)


def run(recipe: RlRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Continue the distilled adapter under the recipe's rewards; go on from the last checkpoint on resume."""
    require_inputs(recipe)
    judgments, adapter = Path(str(recipe.judgments)), Path(str(recipe.adapter))
    # Everything a reward could be wrong about is found before a model is loaded.
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards if entry.weight]
    start = open_artifact(adapter, "adapter")
    check_subject(recipe, start, rewards)
    inputs = {"judgments": describe_input(judgments, out), "adapter": describe_input(adapter, out)}
    place = create(out, "adapter", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    base = find_model(str(start.manifest["base"]))
    tokenizer = load_tokenizer(base)
    quantisation = chosen_quantisation(recipe.quantisation)
    rollouts = (
        list_rollouts(recipe, recipe.lists, judgments, start, tokenizer)
        if recipe.lists
        else _rollouts(recipe, judgments, start, tokenizer)
    )
    number, unit = len(rollouts.examples), "lists" if recipe.lists else "pairs"
    log.info("rl on %d %s with %s on %s, base weights %s", number, unit, base.name, device(), quantisation)
    model = with_adapter(load_model(base, quantisation=quantisation), adapter / "adapter", trainable=True)
    weights = [reward.weight for reward in rewards]
    figures = train(
        model,
        rollouts,
        rewards,
        weights,
        trainer=recipe.trainer,
        folder=place.work / "checkpoints",
        shared_prefix=recipe.shared_prefix,
    )
    save_adapter(model, place.folder / "adapter", tokenizer=tokenizer, base=base.name)
    write_cost(place, figures, time.monotonic() - started)
    counts = {unit: number, "steps": int(figures["steps"])}
    # What it is asked is what the adapter before was asked.
    kept = {name: start.manifest[name] for name in ("prompt", "prompt_hash")}
    notes = adapter_notes(base, PromptSettings(), quantisation) | kept
    notes["rewards"] = [entry.model_dump(mode="json") for entry in recipe.rewards]
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _rollouts(recipe: RlRecipe, judgments: Path, adapter: Artifact, tokenizer: Any) -> Rollouts:
    examples = whole_queries(read_judgments(judgments, "train"), documents=recipe.documents_per_query, seed=recipe.seed)
    prompt = PromptSettings.model_validate(adapter.manifest["prompt"])
    return Rollouts(PromptEncoder(tokenizer, prompt), examples, tokens=recipe.max_completion_tokens, seed=recipe.seed)
