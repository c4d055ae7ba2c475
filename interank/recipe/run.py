"""What `interank run` can be told: the recipes of all its stages."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from interank.recipe.by_task import Distill, Rl
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.generate import GenerateRecipe
from interank.resources import expanded
from interank.settings import RewardRecipe
from interank.settings.base import Settings
from interank.tasks import REFINED, RlRecipe
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.judge.recipe import WITHOUT_MODEL
from interank.wording import listed


class StagesRecipe(Settings):
    """The stages of a pipeline; their inputs from each other are handed over."""

    generate: GenerateRecipe
    distill: Distill
    reward: RewardModelRecipe | None = None
    """Where there is one, rl's `explanation_quality` asks what it makes."""
    rl: Rl
    evaluate: EvaluateRecipe

    @property
    def named(self) -> tuple[str, ...]:
        """The stages that there are, in their order."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _nothing_handed_twice(self) -> StagesRecipe:
        given = {
            "distill.judgments": self.distill.judgments,
            "reward.judgments": self.reward.judgments if self.reward else None,
            "rl.judgments": self.rl.judgments,
            "rl.adapter": self.rl.adapter,
            "rl.reward_model": getattr(self.rl, "reward_model", None) if self.reward else None,
            "evaluate.adapters": self.evaluate.adapters,
        }
        wrong = [name for name, value in given.items() if value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a pipeline hands these over itself; leave them out")
        if self.distill.task not in REFINED:
            raise ValueError(
                f"distill.task: rl improves no {self.distill.task}; set {listed(REFINED, last='or')}, or run distill "
                "by itself"
            )
        if self.distill.task != self.rl.task:
            raise ValueError(
                f"rl.task: {self.rl.task} was found, but the student is distilled for {self.distill.task}; "
                "make them equal"
            )
        return self

    @model_validator(mode="after")
    def _a_reward_model_is_used(self) -> StagesRecipe:
        if self.reward is None:
            return self
        if self.rl.task != "judge" or not any(
            is_handed(entry) or entry.use in WITHOUT_MODEL for entry in self.rl.rewards
        ):
            raise ValueError(
                f"reward: rl.rewards has no explanation_quality, nor {', '.join(WITHOUT_MODEL)}, whose place the "
                "reward model takes; add {use: explanation_quality} for task judge, or leave reward out"
            )
        # An adapter's base is known when it is opened, and rl refuses a reward model of another one.
        student = expanded(self.distill.student)
        continues = student.is_dir() and not (student / "config.json").is_file()
        if self.reward.student != self.distill.student and not continues:
            raise ValueError(
                f"reward.student: {self.reward.student} was found, and the reward model stands beside the policy on "
                f"distill.student, {self.distill.student}; make them equal"
            )
        if self.generate.explanations is None:
            raise ValueError(
                "generate.explanations: the reward model learns of marked explanations, and none are collected; add "
                "the section, as {samples: 1, marks: made}"
            )
        return self


def is_handed(reward: RewardRecipe) -> bool:
    """Whether a pipeline hands its reward model to this reward, which names none."""
    return reward.use == "explanation_quality" and bool(reward.weight) and not reward.params.get("model")


def with_reward_model(rl: RlRecipe, place: Path) -> RlRecipe:
    """The recipe with a pipeline's reward model: for the rewards that name none, else in place of those without one."""
    if not any(map(is_handed, rl.rewards)):
        return type(rl).model_validate({**rl.model_dump(), "reward_model": place})
    rewards = tuple(
        entry.model_copy(update={"params": {**entry.params, "model": str(place)}}) if is_handed(entry) else entry
        for entry in rl.rewards
    )
    return rl.model_copy(update={"rewards": rewards})


class RunRecipe(Settings):
    """`interank run`: all stages in one folder."""

    inputs: ClassVar[tuple[str, ...]] = ()
    stage: Literal["run"]
    stages: StagesRecipe
    """The stages' recipes, each without its `stage:` key."""

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        missing = [f"generate.{name}" for name in self.stages.generate.missing()]
        return missing if self.stages.evaluate.benchmark else [*missing, "evaluate.benchmark"]
