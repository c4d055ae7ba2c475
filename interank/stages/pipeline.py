"""run: the stages of a pipeline in one folder; each stage gets the outputs of those before it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interank.artifact import MANIFEST, Artifact, Existing, open_artifact
from interank.distributed import refuse_several_processes
from interank.errors import ArtifactError, InputError
from interank.inputs import Input
from interank.locks import held
from interank.recipe import EvaluateRecipe, RunRecipe
from interank.recipe.run import StagesRecipe, with_marking_model, with_reward_model
from interank.resources import expanded
from interank.stages import distill, evaluate, generate, reward, rl
from interank.stages.inputs import require_inputs

log = logging.getLogger(__name__)


def check(recipe: RunRecipe) -> Sequence[Input]:
    """Open the inputs of all stages that exist already, before the first stage begins, and return them.

    Raises:
        InterankError: An input cannot be used.
    """
    stages = recipe.stages.without_handed()
    _require_shared_base(stages)
    checked = {
        "generate": generate.check(stages.generate),
        "distill": distill.check(stages.distill),
        "reward": reward.check(stages.reward) if stages.reward is not None else [],
        "rl": rl.check(stages.rl),
        "evaluate": evaluate.check(stages.evaluate.model_copy(update={"adapters": trained_further(stages)})),
    }
    return [replace(each, name=f"{stage}.{each.name}") for stage, named in checked.items() for each in named]


def _require_shared_base(stages: StagesRecipe) -> None:
    """Refuse a reward model of another base than that of the adapter that distill trains further.

    Raises:
        InputError: The bases, both on this machine, differ.
    """
    if stages.reward is None:
        return
    for start in trained_further(stages):
        # It loads torch.
        from interank.engines.bases import stands_on
        from interank.engines.models import model_here

        adapter, files = open_artifact(start, "adapter"), model_here(stages.reward.student)
        if files is not None and not stands_on(adapter, files):
            raise InputError(
                f"reward.student: {stages.reward.student} is another base than that of distill.student, {start}, which "
                f"was trained on {adapter.manifest['base']}; the reward model shares the policy's base, so name that"
            )


def run(recipe: RunRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Run the stages one after the other and return the evaluation; on resume, finished stages are reused."""
    refuse_several_processes()
    require_inputs(recipe)
    check(recipe)
    place = out.resolve()
    if place.exists() and not place.is_dir():
        raise ArtifactError(f"{out} is a file, and the stages' outputs go into a folder; choose another --out")
    with held(place):
        place.mkdir(parents=True, exist_ok=True)
        return _all_stages(recipe, out, existing)


def _all_stages(recipe: RunRecipe, out: Path, existing: Existing) -> Artifact:
    stages = recipe.stages
    _announce(stages.named, "generate", out)
    judgments = generate.run(stages.generate, out / "generate", existing=existing).path
    _announce(stages.named, "distill", out)
    distilling = stages.distill.model_copy(update={"judgments": judgments})
    distilled = distill.run(distilling, out / "distill", existing=existing).path
    refining, evaluation = stages.rl, stages.evaluate
    if stages.reward is not None:
        _announce(stages.named, "reward", out)
        marking = stages.reward.model_copy(update={"judgments": judgments})
        model = reward.run(marking, out / "reward", existing=existing).path
        refining, evaluation = with_reward_model(refining, model), with_marking_model(evaluation, model)
    _announce(stages.named, "rl", out)
    refining = refining.model_copy(update={"judgments": judgments, "adapter": distilled})
    improved = rl.run(refining, out / "rl", existing=existing).path
    _announce(stages.named, "evaluate", out)
    evaluation = evaluation.model_copy(update={"adapters": (*trained_further(stages), distilled, improved)})
    return evaluate.run(with_reader(evaluation, distilled), out / "evaluate", existing=existing)


def trained_further(stages: StagesRecipe) -> tuple[Path, ...]:
    """The adapter that distill trains further, if its student is one; it is evaluated beside the trained ones."""
    student = expanded(stages.distill.student)
    return (student,) if (student / MANIFEST).is_file() else ()


def with_reader(recipe: EvaluateRecipe, place: Path) -> EvaluateRecipe:
    """Return the recipe with this adapter as the reader that marks explanations, where it names none."""
    marking = recipe.explanations
    if marking is None or marking.reader is not None:
        return recipe
    return recipe.model_copy(update={"explanations": marking.model_copy(update={"reader": place})})


def _announce(names: Sequence[str], name: str, out: Path) -> None:
    log.info("%d/%d %s: %s", names.index(name) + 1, len(names), name, out / name)
