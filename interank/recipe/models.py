"""Recipes: what each stage can be told, as strict, frozen models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from interank.recipe.batches import check_batches
from interank.recipe.distill_heads import HeadRecipe, Objective
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.lists import DistillListsRecipe, RlListsRecipe
from interank.recipe.unused import refuse_unused
from interank.settings.base import FilePath, FilePaths, Settings
from interank.settings.mining import MiningRecipe
from interank.settings.policy import GradeRecipe, HardExamplesRecipe, RewardWeightedRecipe, SeatbeltRecipe, TrialRecipe
from interank.settings.prompts import PromptSettings, Quantisation
from interank.settings.rewards import Rewards
from interank.settings.rollouts import RolloutsRecipe
from interank.settings.student import LoraRecipe, LossRecipe, MixtureRecipe, Precision, ValidationRecipe
from interank.settings.teacher import BudgetRecipe, TeacherRecipe

# How to get what decontamination compares with, or do without it.
GET_BENCHMARKS = (
    "give the folders of the benchmarks that you will report (for BRIGHT: its examples and documents from the "
    "Hugging Face hub, xlangai/BRIGHT, as Parquet or JSONL), or turn the check off on purpose with decontaminate=false"
)


class GenerateRecipe(Settings):
    """`interank generate`: StackExchange dumps to judgments."""

    inputs: ClassVar[tuple[str, ...]] = ("dumps", "pairs", "benchmarks")
    stage: Literal["generate"]
    dumps: FilePaths | None = None
    """Folders with a `Posts.xml`, or folders of such folders; DIR,DIR on the command line."""
    pairs: FilePath | None = None
    """The output of `interank generate --mine-only`, to judge it without mining anew."""
    benchmarks: FilePaths | None = None
    """Benchmark folders to keep out of the training data: BRIGHT's rows or BEIR's layout; DIR,DIR on the command
    line."""
    decontaminate: bool = True
    """Whether questions and documents that overlap with `benchmarks` are removed."""
    seed: int = 42
    """Decides the sample, the split and what the teacher samples."""
    mining: MiningRecipe = MiningRecipe()
    """What is taken from the dumps."""
    teacher: TeacherRecipe
    """Who judges it."""
    prompt: PromptSettings = PromptSettings()
    """What the teacher reads."""
    max_grade_share: float | None = Field(None, gt=1 / 3, lt=1)
    """The largest share of the judgments that one grade may have; what is over it is drawn by `seed` and left out."""
    budget: BudgetRecipe = BudgetRecipe()
    """Where asking stops; what is judged by then is written, and `--resume` with a larger budget goes on."""
    cache: FilePath | None = None
    """A folder that keeps replies over all outputs, so that none is paid for twice; $INTERANK_CACHE/replies where
    that is set."""

    @model_validator(mode="after")
    def _pairs_or_dumps(self) -> GenerateRecipe:
        if self.pairs and self.dumps:
            raise ValueError("pairs, dumps: both were given; pairs=DIR is already mined, so leave one of them out")
        if self.decontaminate and self.benchmarks == ():
            raise ValueError(f"benchmarks: none is in the list; {GET_BENCHMARKS}")
        return self

    @model_validator(mode="after")
    def _samples_can_differ(self) -> GenerateRecipe:
        teacher = self.teacher
        fixed = self.prompt.order == "grade_first" and not (teacher.engine == "openai" and teacher.server.api == "chat")
        if teacher.samples > 1 and (fixed or teacher.grades == "votes"):
            why = (
                "votes give the grade" if teacher.grades == "votes" else "a grade that is read first is always the same"
            )
            raise ValueError(
                f"teacher.samples: {teacher.samples} samples cannot disagree, since {why}; "
                "set prompt.order: reason_first and teacher.grades: teacher, or samples: 1"
            )
        return self

    @model_validator(mode="after")
    def _dollars_need_a_price(self) -> GenerateRecipe:
        if self.budget.dollars is not None and self.teacher.price is None:
            raise ValueError("budget.dollars: nothing says what a token costs; set teacher.price: {read: , written: }")
        return self

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        if self.pairs:
            return []
        missing = [] if self.dumps else ["dumps"]
        return [*missing, "benchmarks"] if self.decontaminate and not self.benchmarks else missing


class DistillRecipe(Settings):
    """`interank distill`: judgments to an adapter that has learned them."""

    inputs: ClassVar[tuple[str, ...]] = ("judgments",)
    stage: Literal["distill"]
    judgments: FilePath | None = None
    """The output of `interank generate`."""
    student: str
    """A hub name or a folder."""
    seed: int = 42
    """Decides initial weights and the order of examples."""
    quantisation: Quantisation = "auto"
    """NF4 base weights: auto means on a GPU with less than 40 GB, and never on a CPU."""
    double_quantisation: bool = False
    """Whether NF4's scales are quantised too, which saves 0.4 bits a weight."""
    precision: Precision = "auto"
    """What is computed in: auto is bfloat16 on a GPU and float32 on a CPU."""
    prompt: PromptSettings = PromptSettings()
    """What the student reads, and in which order it answers where there is no `mixture`."""
    mixture: MixtureRecipe | None = None
    """What is practised, so that one adapter serves several modes; null is `explain` or `reason`, as `prompt.order`."""
    loss: LossRecipe = LossRecipe()
    """What the loss is made of."""
    attacked_negatives: float = Field(0.0, ge=0, le=1)
    """The share of the irrelevant documents that are shown a second time with an attack on the judge in their text,
    still irrelevant; see docs/injection.md."""
    documents_per_group: int = Field(8, ge=1)
    """A question with more documents is cut into groups; `per_device_train_batch_size` counts groups."""
    shared_prefix: bool = True
    """What a group's rows share (the question, a document in several modes) is computed once: the same gradients,
    cheaper. False pads every row, for models whose attention is not plain."""
    validation: ValidationRecipe = ValidationRecipe()
    """How the student is tried while it trains."""
    lists: DistillListsRecipe | None = None
    """Whole lists are learned in place of single documents, for `mode: listwise`; keys of single documents are refused
    then."""
    objective: Objective = "answers"
    """`answers` teaches a language model to write grades; any other is the loss of a head that gives a score, which
    `head` describes."""
    head: HeadRecipe | None = None
    """What a head learns from, for objectives other than `answers`; null takes the judgments."""
    lora: LoraRecipe = LoraRecipe()
    """The adapter."""
    trainer: Mapping[str, Any] = {}
    """Any field of trl.SFTConfig; of transformers.TrainingArguments for a head."""

    @model_validator(mode="after")
    def _checkpoints_are_tried(self) -> DistillRecipe:
        strategy = self.trainer.get("save_strategy", "steps")
        if self.validation.questions and strategy not in ("steps", "no"):
            raise ValueError(
                f"trainer.save_strategy: {strategy!r} was found, but the student is tried every so many steps; take "
                "steps or no, or set validation.questions: 0"
            )
        steps, every = self.trainer.get("save_steps"), self.validation.every
        if every and isinstance(steps, int) and steps % every:
            raise ValueError(
                f"validation.every: the best adapter is one that was saved, so trainer.save_steps, {steps}, has to be "
                f"a multiple of it, and {every} was found; make them equal"
            )
        return self

    @model_validator(mode="after")
    def _lists_can_be_compared(self) -> DistillRecipe:
        if self.objective == "answers" and self.loss.listwise and not self.lists:
            if self.documents_per_group < 2:
                raise ValueError(
                    f"loss.listwise compares the documents of a group, and documents_per_group is "
                    f"{self.documents_per_group}; set it to 2 or more, or loss.listwise to 0"
                )
            if not {"score", "explain"} & {*self.practised.shares}:
                raise ValueError(
                    "loss.listwise compares grades that are read at once, and only explanations before the grade are "
                    "practised; give mixture.score or mixture.explain a share, or set loss.listwise to 0"
                )
        return self

    @model_validator(mode="after")
    def _a_head_learns_one_thing(self) -> DistillRecipe:
        if self.objective == "answers":
            if self.head is not None:
                raise ValueError("head: only objectives other than `answers` train one; set objective, or leave it out")
            return self
        if self.lists is not None or self.mixture is not None:
            raise ValueError(
                f"objective: {self.objective} trains a head, which writes nothing; leave lists and mixture out"
            )
        if self.attacked_negatives:
            raise ValueError(
                f"attacked_negatives: {self.attacked_negatives} was found, but objective: {self.objective} trains a "
                "head, which is shown no attacks; leave it out"
            )
        taught = self.taught
        if self.objective == "ranknet" and not (taught.teacher or taught.teacher_scores):
            raise ValueError(
                "objective: ranknet learns a teacher's differences; give head.teacher or head.teacher_scores, or take "
                "ranknet_hard, which learns the grades'"
            )
        return self

    @model_validator(mode="after")
    def _lists_take_what_is_for_them(self) -> DistillRecipe:
        if self.lists:
            refuse_unused(self, "distill lists")
        if self.lists and self.attacked_negatives:
            raise ValueError(
                f"attacked_negatives: {self.attacked_negatives} was found beside lists, which hold documents in an "
                "order and no irrelevant one by itself; leave one of them out"
            )
        return self

    @property
    def taught(self) -> HeadRecipe:
        """What the head is taught, spelled out."""
        return self.head or HeadRecipe()

    @property
    def practised(self) -> MixtureRecipe:
        """The mixture, spelled out."""
        return self.mixture or (
            MixtureRecipe(explain=1.0) if self.prompt.order == "grade_first" else MixtureRecipe(reason=1.0)
        )

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        elsewhere = (self.lists is not None and self.lists.dear_cot) or (self.head is not None and self.head.groups)
        return [] if self.judgments or elsewhere else ["judgments"]


class RlRecipe(Settings):
    """`interank rl`: an adapter to a better one, by GRPO or by the original's reward-weighted refinement."""

    inputs: ClassVar[tuple[str, ...]] = ("judgments", "adapter")
    stage: Literal["rl"]
    judgments: FilePath | None = None
    """The output of `interank generate`."""
    adapter: FilePath | None = None
    """The output of `interank distill`; training continues it."""
    base: str | None = None
    """What the adapter stands on, where that was moved; a name or folder. Another one than its own is warned of."""
    seed: int = 42
    """Decides the order of queries and what the policy samples."""
    quantisation: Quantisation = "auto"
    """As in distill."""
    algorithm: Literal["grpo", "reward_weighted"] = "grpo"
    """`grpo` samples from the policy as it learns; `reward_weighted` samples once and learns what was rewarded, as
    the original InteRank does."""
    max_completion_tokens: int = Field(128, ge=8)
    """The answer's budget, label included."""
    documents_per_query: int = Field(4, ge=2)
    """How many of a query's documents stand in a batch together, a seeded sample; a query with fewer is left out."""
    lists: RlListsRecipe | None = None
    """Whole lists are ordered in place of single documents judged, by an adapter that was distilled so; keys of single
    documents are refused then."""
    reason_share: float | None = Field(None, ge=0, le=1)
    """The share of the queries that are answered explanation first, the others grade first; null takes half where
    the adapter has learned both, else the order it has learned."""
    grade: GradeRecipe = GradeRecipe()
    """How the grade of a grade-first answer is trained."""
    token_credit: bool = True
    """In grade-first order the tokens after the grade get the explanation's rewards only."""
    hard_examples: HardExamplesRecipe | None = None
    """Which pairs are trained, by the start policy's own grades; null trains all."""
    refills: int = Field(2, ge=0)
    """How often a step's queries from whose completions nothing is to be learned are replaced by others."""
    validation: TrialRecipe = TrialRecipe()
    """How the policy is tried while it trains."""
    seatbelt: SeatbeltRecipe = SeatbeltRecipe()
    """When it stops."""
    reward_weighted: RewardWeightedRecipe = RewardWeightedRecipe()
    """For `algorithm: reward_weighted`."""
    control: Literal["none", "shuffled"] = "none"
    """`shuffled` deals each query's judged grades out anew before rewards see them, validation's aside: what improves
    then improves by chance."""
    judge: TeacherRecipe | None = None
    """Who marks explanations, for rewards that ask."""
    shared_prefix: bool = True
    """What completions share (their prompt, and their query's beginning) is computed once for all of them: the same
    gradients, several times cheaper. False computes every completion by itself, as TRL does."""
    rollouts: RolloutsRecipe = RolloutsRecipe()
    """What samples the completions."""
    rewards: Rewards
    """What is rewarded; see the rewards folder."""
    trainer: Mapping[str, Any] = {}
    """Any field of trl.GRPOConfig; with `algorithm: reward_weighted` those that trl.SFTConfig has too."""

    @model_validator(mode="after")
    def _lists_and_rewards_fit(self) -> RlRecipe:
        if self.lists:
            refuse_unused(self, "rl lists")
        if self.algorithm == "reward_weighted":
            refuse_unused(self, "reward_weighted")
        if not any(reward.weight for reward in self.rewards):
            raise ValueError("rewards: none has a weight other than 0, so there is nothing to learn; give one")
        return self

    @model_validator(mode="after")
    def _batches_hold_whole_queries(self) -> RlRecipe:
        if self.algorithm == "grpo":
            documents = 1 if self.lists else self.documents_per_query
            between = self.grade.listwise > 0 and not self.lists
            check_batches(self.trainer, documents, between=between, in_order=self.shared_prefix)
        return self


class StagesRecipe(Settings):
    """The four stages of a pipeline; their inputs from each other are handed over."""

    generate: GenerateRecipe
    distill: DistillRecipe
    rl: RlRecipe
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
        if self.distill.objective != "answers":
            raise ValueError("distill.objective: rl goes on with a student that writes; set answers, or run distill")
        return self


class RunRecipe(Settings):
    """`interank run`: all four stages in one folder."""

    inputs: ClassVar[tuple[str, ...]] = ()
    stage: Literal["run"]
    stages: StagesRecipe
    """The stages' recipes, each without its `stage:` key."""


Recipe = GenerateRecipe | DistillRecipe | RlRecipe | EvaluateRecipe | RunRecipe

RECIPES: dict[str, type[Recipe]] = {
    "generate": GenerateRecipe,
    "distill": DistillRecipe,
    "rl": RlRecipe,
    "evaluate": EvaluateRecipe,
    "run": RunRecipe,
}


def missing_inputs(recipe: Recipe) -> list[str]:
    """The inputs that a stage cannot start without and that the recipe does not name."""
    if isinstance(recipe, RunRecipe):
        stages = recipe.stages
        missing = [f"generate.{name}" for name in stages.generate.missing()]
        return missing if stages.evaluate.benchmark else [*missing, "evaluate.benchmark"]
    if isinstance(recipe, GenerateRecipe | DistillRecipe):
        return recipe.missing()
    return [name for name in recipe.inputs if not getattr(recipe, name)]
