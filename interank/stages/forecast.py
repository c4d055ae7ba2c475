"""check: a forecast of what a stage reads and writes, and of its memory, time and cost; no model is loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from interank.artifact import Workplace, create, open_artifact
from interank.engines.bases import base_here, ranker_here, student_here
from interank.engines.models import compute_dtype
from interank.evaluation.candidates import CandidateSettings, load_evaluated
from interank.evaluation.systems import stored_run
from interank.inputs import Input
from interank.ir.benchmarks.hub import is_repository
from interank.recipe import EvaluateRecipe, GenerateRecipe, Recipe, RewardModelRecipe, RunRecipe
from interank.settings.batches import RL_BATCH
from interank.shards import Shard
from interank.stages.estimates import LEARN, READ, bytes_of, epochs_of, rent, size_of, span, speed, time_of
from interank.stages.plan import explanations_told
from interank.stages.plan import plan as planned_pairs
from interank.stages.rankings import waiting_for
from interank.stages.reward_forecast import forecast_reward
from interank.stages.training import choice_of, in_its_shape
from interank.tasks.parts import task_named
from interank.tasks.recipes import DistillRecipe, RlRecipe
from interank.training.planning import gib, plan, weights_of
from interank.training.sft import DEFAULTS
from interank.wording import counted

# Larger dumps take minutes or more to mine.
_MINED_BYTES = 200 * 10**6
_WRITES = {
    "generate": "judgments, and what was rejected with its reason",
    "distill": "an adapter with its card, curves and costs",
    "reward": "a reward model with its card, figures on held-out questions and costs",
    "rl": "an adapter with its card, a page and its rollouts",
    "evaluate": "runs, scores with intervals, and a report",
    "run": "the outputs of all stages",
}


def forecast(recipe: Recipe, named: Sequence[Input], shard: Shard | None = None) -> list[str]:
    """Lines on what a stage reads, writes and takes, as far as this machine's files tell.

    Raises:
        InterankError: An input cannot be used, or cannot be trained here; as in the stage itself.
    """
    lines = [f"reads: {each.name} {each.path} ({size_of(each.path)})" for each in named]
    lines.append(f"writes: {_WRITES[recipe.stage]}")
    if isinstance(recipe, RunRecipe):
        return [*lines, *_generated(recipe.stages.generate), *_evaluated(recipe.stages.evaluate)]
    if isinstance(recipe, GenerateRecipe):
        return lines + _generated(recipe, shard)
    if isinstance(recipe, DistillRecipe):
        return lines + _distilled(recipe)
    if isinstance(recipe, RewardModelRecipe):
        return lines + forecast_reward(recipe)
    return lines + (_evaluated(recipe, shard) if isinstance(recipe, EvaluateRecipe) else _rewarded(recipe))


def _generated(recipe: GenerateRecipe, shard: Shard | None = None) -> list[str]:
    given = recipe.pairs or recipe.judgments
    paths = [given] if given else list(recipe.dumps or ())
    if not paths:
        return []
    if not all(path.exists() for path in paths) or (shard is None and sum(map(bytes_of, paths)) > _MINED_BYTES):
        return ["takes: interank generate --dry-run counts pairs, tokens, time and cost"]
    estimate = planned_pairs(recipe, shard)
    seconds, dollars, tokens = estimate["seconds"], estimate["dollars"], estimate["tokens"]
    return [
        f"takes{_of(shard)}: {estimate['pairs']} pairs to judge, about {tokens['read']} tokens read and "
        f"{tokens['written']} written",
        *explanations_told(estimate),
        "time: " + ("unknown (teacher.speed is not set)" if seconds is None else f"about {span(seconds)}"),
        "money: " + ("unknown (teacher.price is not set)" if dollars is None else f"about {dollars:.2f} dollars"),
    ]


def _of(shard: Shard | None) -> str:
    return f", shard {shard}" if shard else ""


def _distilled(recipe: DistillRecipe) -> list[str]:
    student = student_here(recipe.student)
    if recipe.missing() or student is None:
        return []
    # A teacher's scores take its whole work, and the size of the data does not depend on them.
    recipe = in_its_shape(recipe)
    untaught = recipe.model_copy(update={"teacher": None}) if getattr(recipe, "teacher", None) else recipe
    with tempfile.TemporaryDirectory() as folder:
        place = create(Path(folder, "out"), "adapter", recipe={}, inputs={})
        assert isinstance(place, Workplace)
        data = task_named(recipe.task).training_data(untaught, student, place)
    planned, _ = plan(student, choice_of(recipe, head=data.head), data.microbatch)
    given = {**DEFAULTS, **recipe.trainer}
    steps, epochs = epochs_of(len(data.groups), given)
    work = (LEARN + READ * planned.checkpointing) * weights_of(student, head=data.head)
    # The rows' shared prefixes are counted once per row there, and once in all in the largest microbatch.
    most = steps * epochs * given["gradient_accumulation_steps"] * planned.tokens
    tokens = round(min(data.counts["tokens"] * epochs, most))
    return [planned.told(), time_of(f"at most {tokens} tokens in {round(steps * epochs)} steps", work * tokens), rent()]


def _rewarded(recipe: RlRecipe) -> list[str]:
    base = base_here(recipe.adapter, recipe.base) if recipe.adapter else None
    if recipe.adapter is None or base is None:
        return []
    given = {**RL_BATCH, **recipe.trainer}
    completions = given["per_device_train_batch_size"] * given["gradient_accumulation_steps"]
    steps = given.get("max_steps", -1)
    prompt = open_artifact(recipe.adapter, "adapter").manifest["prompt"]["max_length"]
    weights = weights_of(base)
    lines = [
        f"memory: {gib(weights * compute_dtype().itemsize)} of weights, and activations as the first step has them"
    ]
    if steps < 1:
        return [*lines, "time: unknown (trainer.max_steps is not set)", rent()]
    tokens = steps * completions * recipe.max_completion_tokens
    prompts = steps * completions * prompt // given["num_generations"]
    work = weights * ((READ + LEARN) * tokens + (READ + LEARN) * prompts)
    work_done = f"at most {tokens} tokens written and {prompts} read in {steps} steps"
    return [*lines, time_of(work_done, work), rent()]


def _evaluated(recipe: EvaluateRecipe, shard: Shard | None = None) -> list[str]:
    if recipe.benchmark is None or (not recipe.benchmark.exists() and is_repository(recipe.benchmark)):
        return []
    tasks = load_evaluated(CandidateSettings.of(recipe), reranking=bool(recipe.adapters or recipe.chain))
    for path in recipe.runs:
        for task in tasks:
            stored_run(path, task, recipe.measures, several=len(tasks) > 1)
    queries = sum(len(task.queries) for task in tasks)
    waiting = waiting_for([task for task in tasks if task.corpus])
    if shard:
        share = shard.share(len(waiting), "queries")
        waiting = waiting[share.start : share.stop]
        queries = len(waiting)
    documents = [task.documents(query.query_id) for task, query in waiting]
    ranked = sum(map(len, documents))
    lines = [f"takes{_of(shard)}: {queries} queries with {ranked} candidates, for each adapter"]
    known = {path: base for path in recipe.adapters if (base := ranker_here(path, recipe.base)) is not None}
    if not known:
        return lines
    weights = [weights_of(base) for base in known.values()]
    tokens = sum(len(document.full_text) // 4 for each in documents for document in each)
    work = float(sum(weights)) * READ * tokens
    lines.append(f"memory: {gib(max(weights) * compute_dtype().itemsize)} of weights, and what a batch holds")
    lines.append(time_of(f"{tokens} tokens read by {counted(len(known), 'adapter')} in mode score", work))
    return [*lines, rent(recipe.price_per_hour, work / speed())]
