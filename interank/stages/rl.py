"""rl: an adapter to a better one, by GRPO on the same judgments."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from interank.artifact import Artifact, Existing, create, describe_input, open_artifact
from interank.engines.models import chosen_quantisation, device, find_model, load_model, load_tokenizer, with_adapter
from interank.engines.prompts import PromptEncoder
from interank.judgments import read_judgments
from interank.recipe import PromptSettings, RlRecipe, RolloutServersRecipe
from interank.rewards import Reward
from interank.stages.distill import adapter_notes, write_cost
from interank.stages.inputs import require_inputs
from interank.training.adapters import save_adapter
from interank.training.grpo import Rollouts, train, whole_queries
from interank.training.samplers import sampler_of

log = logging.getLogger(__name__)

# The adapter does not depend on where rollouts are sampled, and how closely that is watched.
_FREE = (
    *(f"rollouts.server.{name}" for name in RolloutServersRecipe.model_fields),
    *(f"rollouts.{name}" for name in ("vllm.gpu_memory", "check_every", "tolerance")),
)


def run(recipe: RlRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Continue the distilled adapter under the recipe's rewards; go on from the last checkpoint on resume."""
    require_inputs(recipe)
    judgments, adapter = Path(str(recipe.judgments)), Path(str(recipe.adapter))
    # Everything a reward could be wrong about is found before a model is loaded.
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards if entry.weight]
    start = open_artifact(adapter, "adapter")
    inputs = {"judgments": describe_input(judgments, out), "adapter": describe_input(adapter, out)}
    content = recipe.model_dump(mode="json")
    place = create(out, "adapter", recipe=content, inputs=inputs, existing=existing, free=_FREE)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    examples = whole_queries(read_judgments(judgments, "train"), documents=recipe.documents_per_query, seed=recipe.seed)
    prompt = PromptSettings.model_validate(start.manifest["prompt"])
    base = find_model(str(start.manifest["base"]))
    tokenizer = load_tokenizer(base)
    quantisation = chosen_quantisation(recipe.quantisation)
    log.info("rl on %d pairs with %s on %s, base weights %s", len(examples), base.name, device(), quantisation)
    model = with_adapter(load_model(base, quantisation=quantisation), adapter / "adapter", trainable=True)
    encoder = PromptEncoder(tokenizer, prompt)
    with sampler_of(recipe.rollouts, base.folder, model, encoder, place.work) as sampler:
        figures = train(
            model,
            Rollouts(
                encoder,
                examples,
                tokens=recipe.max_completion_tokens,
                seed=recipe.seed,
                sampler=sampler,
                settings=recipe.rollouts,
            ),
            rewards,
            [reward.weight for reward in rewards],
            trainer=recipe.trainer,
            folder=place.work / "checkpoints",
            shared_prefix=recipe.shared_prefix,
        )
    save_adapter(model, place.folder / "adapter", tokenizer=tokenizer, base=base.name)
    write_cost(place, figures, time.monotonic() - started)
    counts = {"pairs": len(examples), "steps": int(figures["steps"])}
    notes = adapter_notes(base, prompt, quantisation)
    notes["rewards"] = [entry.model_dump(mode="json") for entry in recipe.rewards]
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)
