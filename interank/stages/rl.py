"""rl: an adapter to a better one, by GRPO on the same judgments, or by the original's reward-weighted refinement."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, Workplace, create, describe_input, open_artifact
from interank.cards import save_card
from interank.engines.adapters import with_adapter
from interank.engines.bases import find_base
from interank.engines.layers import allowed_of
from interank.engines.models import (
    ModelFiles,
    chosen_quantisation,
    device,
    load_model,
    load_tokenizer,
)
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError, TrainingError
from interank.judging import Order
from interank.judgments import JudgedList, read_judgments
from interank.launched import refuse_several_processes
from interank.rewards import Equipped, Reward
from interank.settings import PromptSettings, RolloutServersRecipe
from interank.stages.inputs import require_inputs
from interank.stages.judge import open_judge
from interank.stages.lineage import lineage, policy_card
from interank.stages.trained import adapter_notes, write_cost
from interank.stages.training_page import training_page
from interank.tasks.judge import policy, reward_weighted
from interank.tasks.judge.answers import Answers
from interank.tasks.judge.hard_examples import find_hard
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.order.lessons import check_subject, list_rollouts, tried_lists
from interank.tasks.order.policy import train_on_lists
from interank.tasks.order.recipe import RlOrder
from interank.tasks.order.rollouts import ListRollouts
from interank.tasks.recipes import RlRecipe
from interank.training.adapters import save_adapter
from interank.training.samplers import sampler_of
from interank.types import Example

log = logging.getLogger(__name__)

# The adapter does not depend on where rollouts are sampled, and how closely that is watched.
_FREE = (
    *(f"rollouts.server.{name}" for name in RolloutServersRecipe.model_fields),
    *(f"rollouts.{name}" for name in ("vllm.gpu_memory", "check_every", "tolerance")),
    *(f"rollouts.level_{name}" for name in ("checks", "factor", "floor")),
)


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a training starts from."""

    recipe: RlRecipe
    base: ModelFiles
    encoder: PromptEncoder
    model: Any
    reason_share: float
    rewards: Sequence[Equipped]

    @property
    def order(self) -> Order:
        """In which most queries are answered."""
        return "reason_first" if self.reason_share >= 0.5 else "grade_first"


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists to train on and to try, and what the manifest keeps of the adapter's."""

    rollouts: ListRollouts
    tried: list[JudgedList]
    kept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Ended:
    """What a training gave besides the adapter: figures of its cost, counts, and what the manifest says."""

    figures: Mapping[str, float]
    counts: Mapping[str, int]
    notes: Mapping[str, Any]


def run(recipe: RlRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Continue the distilled adapter under the recipe's rewards; go on from the last checkpoint on resume."""
    refuse_several_processes()
    require_inputs(recipe)
    judgments, adapter = Path(str(recipe.judgments)), Path(str(recipe.adapter))
    start = open_artifact(adapter, "adapter")
    # Everything a reward could be wrong about is found before a model is loaded.
    rewards = [Reward.from_recipe(entry) for entry in recipe.rewards if entry.weight]
    check_subject(recipe, start, rewards)
    reason_share = _reason_share(recipe, start) if isinstance(recipe, RlJudge) else 0.0
    if isinstance(recipe, RlJudge):
        _check_orders(recipe, rewards, reason_share)
    inputs = {"judgments": describe_input(judgments, out), "adapter": describe_input(adapter, out)}
    content = recipe.model_dump(mode="json")
    place = create(out, "adapter", recipe=content, inputs=inputs, existing=existing, free=_FREE)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    lists = _listed(recipe, start) if isinstance(recipe, RlOrder) else None
    begun = _begin(recipe, start, rewards, reason_share, place)
    if lists:
        ended = _by_lists(begun, lists, place)
    else:
        assert isinstance(recipe, RlJudge)
        train, validation = read_judgments(judgments, "train"), read_judgments(judgments, "validation")
        by = _by_grpo if recipe.algorithm == "grpo" else _by_reward_weight
        ended = by(begun, train, validation, place)
    save_adapter(begun.model, place.folder / "adapter", tokenizer=begun.encoder.tokenizer, base=begun.base.name)
    write_cost(place, ended.figures, time.monotonic() - started)
    notes = adapter_notes(begun.base, begun.encoder.settings, chosen_quantisation(recipe.quantisation), place.out)
    if isinstance(recipe, RlJudge):
        notes |= {"modes": start.manifest.get("modes"), "reason_share": reason_share}
    notes |= {"task": recipe.task, "rewards": [entry.model_dump(mode="json") for entry in recipe.rewards]}
    notes |= {"lineage": lineage(start, judgments, begun.base.name), **ended.notes}
    save_card(policy_card(recipe, notes), place.folder)
    page = training_page(place.folder, validation=ended.notes.get("validation"))
    (place.folder / "report.html").write_text(page, "utf-8")
    return place.finish(seed=recipe.seed, counts=dict(ended.counts), notes=notes)


def _reason_share(recipe: RlJudge, start: Artifact) -> float:
    if recipe.reason_share is not None:
        return recipe.reason_share
    modes = start.manifest.get("modes") or []
    if "reason" in modes and {"score", "explain"} & {*modes}:
        return 0.5
    return float(start.manifest["prompt"]["order"] == "reason_first")


def _check_orders(recipe: RlJudge, rewards: Sequence[Reward], reason_share: float) -> None:
    """Stop where a reward needs a judge, or an order of answers, that there is not.

    Raises:
        InputError: Says which.
    """
    trained = {order for order, share in (("reason_first", reason_share), ("grade_first", 1 - reason_share)) if share}
    if "grade_first" not in trained and recipe.grade.listwise + recipe.grade.calibration:
        raise InputError(
            "grade.listwise and grade.calibration train grades that come before the explanation, and every query is "
            "answered explanation first; set reason_share below 1, or these to 0"
        )
    for reward in rewards:
        if reward.needs_judge and recipe.judge is None:
            raise InputError(
                f"reward {reward.use} asks a judge and the recipe names none; give judge: {{model: ...}}, or a reward "
                "model as params.model"
            )
        if not trained & {*reward.orders}:
            raise InputError(
                f"reward {reward.use} says nothing of answers in {' and '.join(sorted(trained))} order; set "
                "reason_share above 0, or leave it out (grade.calibration is the loss for grade-first answers)"
            )


def _begin(
    recipe: RlRecipe, start: Artifact, rewards: Sequence[Reward], reason_share: float, place: Workplace
) -> _Begun:
    # Prompts of lists have settings of their own.
    by_lists = isinstance(recipe, RlOrder)
    prompt = PromptSettings() if by_lists else PromptSettings.model_validate(start.manifest["prompt"])
    base = find_base(start, recipe.base)
    allowed_of(base.name, base.folder)
    named = recipe.judge if isinstance(recipe, RlJudge) else None
    judge = open_judge(named, prompt, place.work, recipe.seed) if named is not None else None
    encoder = PromptEncoder(load_tokenizer(base), prompt)
    quantisation = chosen_quantisation(recipe.quantisation)
    log.info("rl with %s on %s, base weights %s", base.name, device(), quantisation)
    model = with_adapter(load_model(base, quantisation=quantisation), start.path / "adapter", trainable=True)
    equipped = [reward.equipped(**({"judge": judge} if judge is not None else {})) for reward in rewards]
    return _Begun(recipe, base, encoder, model, reason_share, equipped)


def _by_grpo(begun: _Begun, train: list[Example], validation: list[Example], place: Workplace) -> _Ended:
    recipe = begun.recipe
    assert isinstance(recipe, RlJudge)
    longest = begun.encoder.settings.max_length
    with sampler_of(recipe.rollouts, begun.base.folder, begun.model, place.work, max_length=longest) as sampler:
        hard = None
        if recipe.hard_examples:
            with sampler.engine_of(begun.model) as engine:
                hard = find_hard(engine, begun.encoder, train, recipe, begun.order, place.work / "hard.jsonl")
        lessons = policy.lessons(recipe, (train, validation), begun.reason_share, hard)
        log.info("rl on %d pairs of %d queries", len(lessons.examples), lessons.counts["queries"])
        trained = policy.train(begun.model, begun.encoder, lessons, begun.rewards, recipe, sampler, place.work)
    _hand_out(place)
    return _Ended(trained.figures, {**lessons.counts, "steps": int(trained.figures["steps"])}, trained.notes)


def _listed(recipe: RlOrder, start: Artifact) -> _Lists:
    """Made before the model is loaded, since a list may not fit."""
    judgments, tokenizer = Path(str(recipe.judgments)), load_tokenizer(find_base(start, recipe.base))
    # What it is asked is what the adapter before was asked.
    kept = {name: start.manifest[name] for name in ("prompt", "prompt_hash")}
    rollouts = list_rollouts(recipe, judgments, start, tokenizer)
    return _Lists(rollouts, tried_lists(recipe, judgments), kept)


def _by_lists(begun: _Begun, lists: _Lists, place: Workplace) -> _Ended:
    recipe, rollouts = begun.recipe, lists.rollouts
    assert isinstance(recipe, RlOrder)
    log.info("rl on %d lists", len(rollouts.examples))
    longest = rollouts.max_length
    with sampler_of(recipe.rollouts, begun.base.folder, begun.model, place.work, max_length=longest) as sampler:
        rollouts.sampler = sampler
        trained = train_on_lists(begun.model, rollouts, lists.tried, begun.rewards, recipe, place.work)
    _hand_out(place)
    counts = {"lists": len(rollouts.examples), "validation_lists": len(lists.tried)}
    return _Ended(trained.figures, {**counts, "steps": int(trained.figures["steps"])}, {**lists.kept, **trained.notes})


def _hand_out(place: Workplace) -> None:
    """What was seen on the way becomes part of the artifact."""
    for name in ("rollouts.jsonl", "trials.jsonl"):
        if (place.work / name).exists():
            # A copy: a killed run goes on from what is in the work folder.
            shutil.copyfile(place.work / name, place.folder / name)


def _by_reward_weight(begun: _Begun, train: list[Example], validation: list[Example], place: Workplace) -> _Ended:
    recipe, longest = begun.recipe, begun.encoder.settings.max_length
    assert isinstance(recipe, RlJudge)
    answers = Answers(begun.encoder, train, recipe, begun.order, place.work)
    if not answers.sampled:
        with (
            sampler_of(recipe.rollouts, begun.base.folder, begun.model, place.work, max_length=longest) as sampler,
            sampler.engine_of(begun.model) as engine,
        ):
            answers.sample(engine)
    learned = list(answers.weighted(begun.rewards))
    if not learned:
        raise TrainingError("no sampled answer reached reward_weighted.least; lower it")
    total = len(train) * (recipe.reward_weighted.samples + 1)
    log.info("learning %d of %d answers", len(learned), total)
    figures = reward_weighted.train(
        begun.model,
        begun.encoder.tokenizer,
        learned,
        trainer=recipe.trainer,
        seed=recipe.seed,
        folder=place.work / "checkpoints",
    )
    counts = {"pairs": len(train), "answers": total, "learned": len(learned)}
    return _Ended(figures, {**counts, "steps": int(figures["steps"])}, {"order": begun.order})
