"""What `interank run` can be told: the recipes of all four stages."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from interank.recipe.by_task import Distill, Rl
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.generate import GenerateRecipe
from interank.settings.base import Settings
from interank.tasks import REFINED


class StagesRecipe(Settings):
    """The four stages of a pipeline; their inputs from each other are handed over."""

    generate: GenerateRecipe
    distill: Distill
    rl: Rl
    evaluate: EvaluateRecipe

    @model_validator(mode="after")
    def _nothing_handed_twice(self) -> StagesRecipe:
        given = {
            "distill.judgments": self.distill.judgments,
            "rl.judgments": self.rl.judgments,
            "rl.adapter": self.rl.adapter,
            "evaluate.adapters": self.evaluate.adapters,
        }
        wrong = [name for name, value in given.items() if value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a pipeline hands these over itself; leave them out")
        if self.distill.task not in REFINED:
            raise ValueError(
                f"distill.task: rl improves no {self.distill.task}; set {' or '.join(REFINED)}, or run distill by "
                "itself"
            )
        if self.distill.task != self.rl.task:
            raise ValueError(
                f"rl.task: {self.rl.task} was found, but the student is distilled for {self.distill.task}; "
                "make them equal"
            )
        return self


class RunRecipe(Settings):
    """`interank run`: all four stages in one folder."""

    inputs: ClassVar[tuple[str, ...]] = ()
    stage: Literal["run"]
    stages: StagesRecipe
    """The stages' recipes, each without its `stage:` key."""

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        missing = [f"generate.{name}" for name in self.stages.generate.missing()]
        return missing if self.stages.evaluate.benchmark else [*missing, "evaluate.benchmark"]
