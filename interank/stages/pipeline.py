"""run: the four stages in one folder, each handed the others' outputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interank.artifact import Artifact, Existing
from interank.errors import ArtifactError
from interank.inputs import Input
from interank.launched import refuse_several_processes
from interank.locks import held
from interank.recipe import RunRecipe
from interank.stages import distill, evaluate, generate, rl
from interank.stages.inputs import require_inputs

log = logging.getLogger(__name__)


def check(recipe: RunRecipe) -> Sequence[Input]:
    """Open what all four stages read of what is there already, before the first begins; what it is.

    Raises:
        InterankError: Something of it cannot be used.
    """
    stages = recipe.stages
    checked = {
        "generate": generate.check(stages.generate),
        "distill": distill.check(stages.distill),
        "rl": rl.check(stages.rl),
        "evaluate": evaluate.check(stages.evaluate),
    }
    return [replace(each, name=f"{stage}.{each.name}") for stage, named in checked.items() for each in named]


def run(recipe: RunRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Run generate, distill, rl and evaluate; on resume, finished stages are reused. Returns the evaluation."""
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
    log.info("1/4 generate: %s", out / "generate")
    judgments = generate.run(stages.generate, out / "generate", existing=existing).path
    log.info("2/4 distill: %s", out / "distill")
    taught = stages.distill.model_copy(update={"judgments": judgments})
    distilled = distill.run(taught, out / "distill", existing=existing).path
    log.info("3/4 rl: %s", out / "rl")
    rewarded = stages.rl.model_copy(update={"judgments": judgments, "adapter": distilled})
    improved = rl.run(rewarded, out / "rl", existing=existing).path
    log.info("4/4 evaluate: %s", out / "evaluate")
    compared = stages.evaluate.model_copy(update={"adapters": (distilled, improved)})
    return evaluate.run(compared, out / "evaluate", existing=existing)
