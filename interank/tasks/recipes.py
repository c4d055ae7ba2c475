"""The recipe keys that all tasks share, for the stages that train."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from interank.modes import Mode
from interank.settings.base import FilePath, Settings
from interank.settings.batches import DISTILL_BATCH, RL_BATCH, check_batches, in_steps_of
from interank.settings.policy import GOLD_CHECKS, CollapseDetectionRecipe, TrialRecipe
from interank.settings.prompts import Quantisation
from interank.settings.rewards import Rewards
from interank.settings.rollouts import RolloutsRecipe
from interank.settings.student import LoraRecipe, Precision, ValidationRecipe
from interank.settings.teacher import TeacherRecipe
from interank.settings.unused_keys import refuse_unused
from interank.wording import counted

TrainerConfig = Literal["SFTConfig", "GRPOConfig", "RewardConfig", "TrainingArguments"]

_UNUSED_BY_LISTS = {
    "judge": "no reward of lists needs a judge",
    "validation.explained": "every validation list is answered whole",
    "validation.calibration_margin": "the calibration of answers about lists is not measured",
    "collapse_detection.grade_entropy_share": "an answer about a list has no grade of its own",
    "collapse_detection.calibration_rise": "the calibration of answers about lists is not measured",
}


class DistillRecipe(Settings):
    """`interank distill`: train an adapter on data."""

    inputs: ClassVar[tuple[str, ...]] = ("judgments",)
    shorter: ClassVar[tuple[str, ...]] = ()
    """The keys to lower where memory is short."""
    ranks_in: ClassVar[tuple[Mode, ...]] = ()
    """The modes of the task's ranker; empty where its models are recognised by their files and rank in mode `score`."""
    trained_on: ClassVar[str] = ""
    """What such an adapter was trained on, in words."""
    stage: Literal["distill"]
    task: str
    """What is learned: `judge` grades and explains a document, `order` puts a list in order, `head` gives a number,
    `group` grades the documents of a window."""
    judgments: FilePath | None = None
    """The output of `interank generate`."""
    student: str
    """The model to train, a hub name or a folder; or an adapter of the same task, an output of distill or rl, which is
    trained further with its own LoRA settings, whatever `lora` says."""
    seed: int = 42
    """Decides initial weights and the order of examples."""
    quantisation: Quantisation = "auto"
    """NF4 base weights: auto uses them on a GPU with less than 40 GB, and never on a CPU."""
    double_quantisation: bool = False
    """Quantise NF4's scales too, which saves 0.4 bits a weight."""
    precision: Precision = "auto"
    """The dtype of the computation: auto is bfloat16 on a GPU and float32 on a CPU."""
    lora: LoraRecipe = LoraRecipe()
    """The adapter."""
    questions_per_step: int | None = Field(None, ge=1)
    """The questions, with their documents, of an optimizer step over all processes; None takes
    `trainer.per_device_train_batch_size` times `gradient_accumulation_steps` for each process."""
    trainer: Mapping[str, Any] = {}
    """Any field of trl.SFTConfig; of transformers.TrainingArguments for a head."""

    @model_validator(mode="before")
    @classmethod
    def _in_steps(cls, given: Any) -> Any:
        return in_steps_of(given, 1, DISTILL_BATCH) if isinstance(given, Mapping) else given

    @classmethod
    def trainer_config(cls, given: Mapping[str, Any]) -> TrainerConfig:
        """The name of the class whose fields `trainer` takes in a recipe of these keys."""
        return "SFTConfig"

    def missing(self) -> list[str]:
        """The inputs that are missing and without which it cannot start."""
        return [] if self.judgments else ["judgments"]


class InstructedRecipe(DistillRecipe):
    """`interank distill` of students that read prompts, which have a place for an instruction."""

    without_instruction: float = Field(0.0, ge=0, le=1, exclude_if=not_)
    """The share of the questions, drawn by `seed`, that are shown without their instruction, so that the student also
    learns to do without."""
    shared_prefix: bool = True
    """Compute once what the rows of a group share (the question, a document in several modes): the same gradients,
    cheaper. False pads every row, for models whose attention is not plain."""


class TriedRecipe(DistillRecipe):
    """`interank distill` with validation during training."""

    validation: ValidationRecipe = ValidationRecipe()
    """The validation of the student during training."""

    @model_validator(mode="after")
    def _the_best_adapter_is_one_that_was_saved(self) -> TriedRecipe:
        strategy = self.trainer.get("save_strategy", "steps")
        if self.validation.questions and strategy not in ("steps", "no"):
            raise ValueError(
                f"trainer.save_strategy is {strategy!r}, and validation runs every so many steps; take steps or no, "
                "or set validation.questions: 0"
            )
        steps, every = self.trainer.get("save_steps"), self.validation.every
        if every and isinstance(steps, int) and steps % every:
            raise ValueError(
                f"validation.every is {every}, and trainer.save_steps, {steps}, is no multiple of it, so that the best "
                "adapter may not be saved; make them equal"
            )
        return self


class RlRecipe(Settings):
    """`interank rl`: improve an adapter by rewards."""

    inputs: ClassVar[tuple[str, ...]] = ("judgments", "adapter")
    shorter: ClassVar[tuple[str, ...]] = ("max_completion_tokens",)
    """The keys to lower where memory is short."""
    explains: ClassVar[bool] = False
    """True where completions explain a document's grade, so that a judge can mark them during training."""
    stage: Literal["rl"]
    task: str
    """What the adapter was distilled for: `judge`, `order` or `group`."""
    judgments: FilePath | None = None
    """The output of `interank generate`."""
    adapter: FilePath | None = None
    """The output of `interank distill`; training continues it."""
    base: str | None = None
    """The adapter's base model, a name or folder, where it was moved. Another one than its own is warned of."""
    seed: int = 42
    """Decides the order of queries and what the policy samples."""
    quantisation: Quantisation = "auto"
    """As in distill."""
    max_completion_tokens: int = Field(128, ge=8)
    """The token budget of an answer."""
    refills: int = Field(2, ge=0)
    """How often a step replaces queries whose completions all earn the same, from which nothing is learned."""
    validation: TrialRecipe = TrialRecipe()
    """The validation of the policy during training."""
    collapse_detection: CollapseDetectionRecipe = CollapseDetectionRecipe()
    """When training stops because the policy collapses."""
    control: Literal["none", "shuffled"] = "none"
    """`shuffled` shuffles each query's judged grades before rewards see them, except in validation: what improves then
    improves by chance."""
    shared_prefix: bool = True
    """Compute once what completions share (their prompt, and their query's beginning): the same gradients, several
    times cheaper. False computes every completion by itself, as TRL does."""
    judge: TeacherRecipe | None = None
    """The model that marks explanations, for rewards that need marks."""
    rollouts: RolloutsRecipe = RolloutsRecipe()
    """How completions are sampled."""
    rewards: Rewards
    """The rewards, by the names of their files; see the rewards folder."""
    questions_per_step: int | None = Field(None, ge=1)
    """The queries of an optimizer step over all processes; None as in distill."""
    trainer: Mapping[str, Any] = {}
    """Any field of trl.GRPOConfig; with `algorithm: reward_weighted` those that trl.SFTConfig has too."""

    @classmethod
    def trainer_config(cls, given: Mapping[str, Any]) -> TrainerConfig:
        """The name of the class whose fields `trainer` takes in a recipe of these keys."""
        return "GRPOConfig"

    def missing(self) -> list[str]:
        """The inputs that are missing and without which it cannot start."""
        return [name for name in self.inputs if not getattr(self, name)]

    @model_validator(mode="before")
    @classmethod
    def _in_steps(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        trainer = given.get("trainer")
        generations = (trainer if isinstance(trainer, Mapping) else {}).get("num_generations", 0)
        documents = "documents_per_query" in cls.model_fields and given.get(
            "documents_per_query", cls.model_fields["documents_per_query"].default
        )
        generations, documents = generations or RL_BATCH["num_generations"], documents or 1
        if not isinstance(generations, int) or not isinstance(documents, int):
            return given
        return in_steps_of(given, generations * documents, RL_BATCH["per_device_train_batch_size"])

    @model_validator(mode="after")
    def _gold_has_explanations_and_asks_nobody_that_rewards_ask(self) -> RlRecipe:
        gold = self.validation.gold
        if gold is not None and not self.explains:
            raise ValueError(
                f"validation.gold: it marks explanations of single documents, and task: {self.task} has none; leave "
                "it out"
            )
        models_of_rewards = {str(entry.params.get("model")) for entry in self.rewards} | (
            {self.judge.model} if self.judge else set()
        )
        if gold is not None and gold.judge.model in models_of_rewards:
            raise ValueError(
                f"validation.gold.judge.model: {gold.judge.model} is asked by the rewards too, and what fools it there "
                "would fool it here; name a model of another family"
            )
        return self

    @model_validator(mode="after")
    def _gold_is_asked_often_enough(self) -> RlRecipe:
        gold, steps = self.validation.gold, self.trainer.get("max_steps")
        checks = GOLD_CHECKS if self.collapse_detection.enabled else 1
        if gold is not None and isinstance(steps, int) and 0 < steps < checks * gold.every:
            raise ValueError(
                f"validation.gold.every: {gold.every} was found, and trainer.max_steps is {steps}, but a fall takes "
                f"{counted(checks, 'check')} after the start's to notice; set it to {max(1, steps // checks)} or less"
            )
        return self

    @model_validator(mode="after")
    def _something_is_rewarded(self) -> RlRecipe:
        if not any(reward.weight for reward in self.rewards):
            raise ValueError("rewards: none has a weight other than 0, so there is nothing to learn; give one")
        return self


class RlLists(RlRecipe):
    """`interank rl` of tasks that answer about whole lists, by GRPO; prompts are those of the adapter."""

    window: int = Field(20, ge=2)
    """The most documents of a list; each query gives one list, spread over the grades."""
    shuffles: int = Field(1, ge=1)
    """The number of orders in which each list is shown, drawn by `seed`."""

    @model_validator(mode="after")
    def _nothing_is_set_in_vain(self) -> RlLists:
        refuse_unused(self, _UNUSED_BY_LISTS, beside=f"beside `task: {self.task}`", who="lists have")
        return self

    @model_validator(mode="after")
    def _batches_hold_whole_groups(self) -> RlLists:
        check_batches(self.trainer, 1, between=False, in_order=self.shared_prefix)
        return self
