"""rl: improves an adapter by rewards on its judgments."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import cast

from interank import distributed
from interank.artifact import Artifact, Existing, Workplace, create, open_artifact
from interank.cards import save_card
from interank.engines.adapters import with_adapter
from interank.engines.bases import base_facts, find_base
from interank.engines.layers import allowed_of
from interank.engines.models import chosen_quantisation, device, load_model
from interank.rewards import Reward
from interank.settings import RolloutServersRecipe
from interank.stages.inputs import described, require_inputs, training_stage
from interank.stages.lineage import lineage, policy_card
from interank.stages.reward_models import with_reward_models
from interank.stages.rl_inputs import check as check
from interank.stages.training import base_dtype, write_cost
from interank.stages.training_page import read_training, training_page
from interank.stages.training_summary import Training
from interank.tasks.parts import refining
from interank.tasks.protocol import ExplainingPolicy
from interank.tasks.recipes import RlRecipe
from interank.teacher.judge import open_judge
from interank.training.adapters import save_adapter

log = logging.getLogger(__name__)

# Keys on which the adapter does not depend: where rollouts are sampled, and how closely that is checked.
_FREE = (
    *(f"rollouts.server.{name}" for name in RolloutServersRecipe.model_fields),
    *(f"rollouts.{name}" for name in ("memory", "vllm.gpu_memory", "check_every", "tolerance")),
    *(f"rollouts.level_{name}" for name in ("checks", "factor", "floor")),
)


@training_stage
def run(recipe: RlRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Train the distilled adapter further by the recipe's rewards; a resumed run starts from the last checkpoint."""
    require_inputs(recipe)
    named = check(recipe)
    judgments, start = Path(str(recipe.judgments)), open_artifact(Path(str(recipe.adapter)), "adapter")
    task, inputs = refining(recipe.task), described(named, out)
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards if entry.weight]
    content = recipe.model_dump(mode="json")
    place = create(out, "adapter", recipe=content, inputs=inputs, existing=existing, free=_FREE)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    base = find_base(start, recipe.base)
    allowed_of(base.name, base.folder)
    policy = task.policy(recipe, start, base, place.work)
    gold, prompt = recipe.validation.gold, policy.encoder.settings
    judge = open_judge(recipe.judge, prompt, place.work, recipe.seed) if recipe.judge else None
    marker = open_judge(gold.judge, prompt, place.work / "gold", recipe.seed) if gold else None
    quantisation = chosen_quantisation(recipe.quantisation)
    model = with_adapter(load_model(base, quantisation=quantisation), start.path / "adapter", trainable=True)
    dtype = base_dtype(model, quantisation)
    log.info("rl of an adapter on %s, whose weights are in %s, on %s", base.name, dtype, device())
    tools = {"judge": judge} if judge else {}
    beside = with_reward_models(model, rewards, policy.encoder.tokenizer, start, base)
    weighted = [reward.equipped(**tools) for reward in beside]
    if marker is None:
        refined = policy.train(model, weighted)
    else:
        refined = cast(ExplainingPolicy, policy).train(model, weighted, marker)
    if not distributed.first():
        return place.of_first()
    _hand_out(place)
    save_adapter(model, place.folder / "adapter", tokenizer=policy.encoder.tokenizer, base=base.name)
    write_cost(place, refined.figures, time.monotonic() - started)
    notes = {
        **base_facts(base, place.out),
        "task": recipe.task,
        **distributed.notes(),
        "quantisation": quantisation,
        "device": device(),
        **policy.notes,
        "rewards": [entry.model_dump(mode="json") for entry in recipe.rewards],
        "lineage": lineage(start, judgments, base.name),
        **refined.notes,
    }
    save_card(policy_card(policy, recipe.rewards, notes), place.folder)
    counts = {**refined.counts, "steps": int(refined.figures["steps"])}
    training = Training("rl", content, read_training(place.folder), notes, counts)
    (place.folder / "report.html").write_text(training_page(training, place.folder, shown=task.shown), "utf-8")
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _hand_out(place: Workplace) -> None:
    """Copy the recorded rollouts, trials and answers into the artifact."""
    for name in ("rollouts.jsonl", "trials.jsonl", "answers.jsonl"):
        if (place.work / name).exists():
            # Copied, not moved: a killed run needs them in the work folder.
            shutil.copyfile(place.work / name, place.folder / name)
