"""The recipe of `interank run`: the recipes of all its stages."""

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
from interank.settings.rewards import Rewards
from interank.tasks import REFINED, RlRecipe
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.judge.recipe import WITHOUT_MODEL
from interank.wording import listed


class StagesRecipe(Settings):
    """The stages of a pipeline; each gets the outputs of the earlier ones as its inputs."""

    generate: GenerateRecipe
    distill: Distill
    reward: RewardModelRecipe | None = None
    """Trains a reward model, which `explanation_quality` in rl and in evaluate's `explanations` then uses; null trains
    none."""
    rl: Rl
    evaluate: EvaluateRecipe

    @property
    def named(self) -> tuple[str, ...]:
        """The names of the pipeline's stages, in order."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    def without_handed(self) -> StagesRecipe:
        """The stages without the rewards that wait for the pipeline's own reward model, which nobody can open yet."""
        if self.reward is None:
            return self
        marking = self.evaluate.explanations
        marking = marking and marking.model_copy(update={"rewards": _unhanded(marking.rewards)})
        return self.model_copy(
            update={
                "rl": self.rl.model_copy(update={"rewards": _unhanded(self.rl.rewards)}),
                "evaluate": self.evaluate.model_copy(update={"explanations": marking}),
            }
        )

    @model_validator(mode="after")
    def _nothing_handed_twice(self) -> StagesRecipe:
        inputs = {
            "distill.judgments": self.distill.judgments,
            "reward.judgments": self.reward.judgments if self.reward else None,
            "rl.judgments": self.rl.judgments,
            "rl.adapter": self.rl.adapter,
            "rl.reward_model": getattr(self.rl, "reward_model", None) if self.reward else None,
            "evaluate.adapters": self.evaluate.adapters,
        }
        wrong = [name for name, value in inputs.items() if value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a pipeline sets these itself; leave them out")
        if self.distill.task not in REFINED:
            raise ValueError(
                f"distill.task: rl improves no {self.distill.task}; set {listed(REFINED, last='or')}, or run distill "
                "by itself"
            )
        if self.distill.task != self.rl.task:
            raise ValueError(
                f"rl.task: {self.rl.task} was found, but the student is distilled for task {self.distill.task}; "
                "make them equal"
            )
        return self

    @model_validator(mode="after")
    def _a_judge_reads_explanations(self) -> StagesRecipe:
        marking = self.evaluate.explanations
        if marking is not None and marking.reader is None and self.distill.task != "judge":
            raise ValueError(
                f"evaluate.explanations: the distilled adapter would read them, and task {self.distill.task} explains "
                "no single document; leave it out, or name a judge as evaluate.explanations.reader"
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
                "reward: rl.rewards has no entry for the reward model: neither explanation_quality nor one of those "
                f"that it replaces ({', '.join(WITHOUT_MODEL)}); add {{use: explanation_quality}} for task judge, "
                "or leave reward out"
            )
        # An adapter's base is known only when it is opened; then rl refuses a reward model of another base.
        student = expanded(self.distill.student)
        continues = student.is_dir() and not (student / "config.json").is_file()
        if self.reward.student != self.distill.student and not continues:
            raise ValueError(
                f"reward.student: {self.reward.student} was found, but the reward model shares the policy's base, "
                f"distill.student, {self.distill.student}; make them equal"
            )
        read, written = self.reward.encoding.max_explanation_tokens, self.rl.max_completion_tokens
        if read is not None and read < written:
            raise ValueError(
                f"reward.encoding.max_explanation_tokens: {read} was found, and rl.max_completion_tokens lets the "
                f"policy write {written}, so the reward would ignore the end; raise the first or lower the second"
            )
        if self.generate.explanations is None:
            raise ValueError(
                "generate.explanations: the reward model is trained on marked explanations, and none are collected; "
                "add the section, as {samples: 1, marks: made}"
            )
        return self


def is_handed(reward: RewardRecipe) -> bool:
    """Whether this reward gets the pipeline's reward model, as it names none of its own."""
    return reward.use == "explanation_quality" and bool(reward.weight) and not reward.params.get("model")


def with_reward_model(rl: RlRecipe, place: Path) -> RlRecipe:
    """Return the recipe with the pipeline's reward model.

    `explanation_quality` rewards that name no model get it; without any such reward it becomes `reward_model`.
    """
    if not any(map(is_handed, rl.rewards)):
        return type(rl).model_validate({**rl.model_dump(), "reward_model": place})
    return rl.model_copy(update={"rewards": _handed(rl.rewards, place)})


def with_marking_model(recipe: EvaluateRecipe, place: Path) -> EvaluateRecipe:
    """Return the recipe with the pipeline's reward model in its marks: in `explanation_quality` that names none."""
    marking = recipe.explanations
    if marking is None:
        return recipe
    rewards = _handed(marking.rewards, place)
    return recipe.model_copy(update={"explanations": marking.model_copy(update={"rewards": rewards})})


def _unhanded(rewards: Rewards) -> Rewards:
    return tuple(entry for entry in rewards if not is_handed(entry))


def _handed(rewards: Rewards, place: Path) -> Rewards:
    return tuple(
        entry.model_copy(update={"params": {**entry.params, "model": str(place)}}) if is_handed(entry) else entry
        for entry in rewards
    )


class RunRecipe(Settings):
    """`interank run`: all stages in one folder."""

    inputs: ClassVar[tuple[str, ...]] = ()
    stage: Literal["run"]
    stages: StagesRecipe
    """The stages' recipes, each without its `stage:` key."""

    def missing(self) -> list[str]:
        """The required inputs that are not set."""
        missing = [f"generate.{name}" for name in self.stages.generate.missing()]
        return missing if self.stages.evaluate.benchmark else [*missing, "evaluate.benchmark"]
