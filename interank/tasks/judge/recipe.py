"""The recipe keys of task `judge`, for distill and rl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from interank.modes import GradedMode, Mode
from interank.settings import RewardRecipe
from interank.settings.base import FilePath
from interank.settings.batches import check_batches
from interank.settings.policy import GradeRecipe, HardExamplesRecipe, RewardWeightedRecipe
from interank.settings.prompts import PromptSettings
from interank.settings.student import LossRecipe, MixtureRecipe
from interank.settings.unused_keys import refuse_unused
from interank.tasks.recipes import InstructedRecipe, RlRecipe, TrainerConfig, TriedRecipe

WITHOUT_MODEL = ("stance", "support", "faithfulness")
"""The rewards of explanations that a reward model replaces."""
_UNUSED_BY_REWARD_WEIGHT = {
    "documents_per_query": "every pair is sampled",
    "grade": "every token of an answer is learned alike",
    "token_credit": "every token of an answer is learned alike",
    "hard_examples": "every pair is sampled",
    "refills": "answers are sampled once",
    "validation": "there are no trials; interank evaluate compares the adapter with the one before",
    "collapse_detection": "there are no trials by which training could be stopped",
    "control": "the judged grades are not learned",
    "shared_prefix": "answers are learned one by one",
    "rollouts.importance_clip": "every answer has the weight of its reward",
    "rollouts.check_every": "the policy does not move between sampling and learning",
    "rollouts.tolerance": "the policy does not move between sampling and learning",
}


class DistillJudge(InstructedRecipe, TriedRecipe):
    """Learn judgments of single documents."""

    shorter: ClassVar[tuple[str, ...]] = ("documents_per_group", "prompt.max_length")
    ranks_in: ClassVar[tuple[Mode, ...]] = (*get_args(GradedMode), "adaptive")
    trained_on: ClassVar[str] = "single documents"
    task: Literal["judge"] = "judge"
    """What is learned: a document's grade, and why."""
    prompt: PromptSettings = PromptSettings()
    """The student's prompt, and the order of its answers where there is no `mixture`."""
    mixture: MixtureRecipe | None = None
    """The share of each task, for an adapter of several modes; null is `explain` or `reason`, by `prompt.order`."""
    loss: LossRecipe = LossRecipe()
    """The terms of the loss."""
    attacked_negatives: float = Field(0.0, ge=0, le=1)
    """The share of the irrelevant documents that are shown a second time, still irrelevant, with an attack on the judge
    in their text; see docs/injection.md."""
    documents_per_group: int = Field(8, ge=1)
    """The most documents of a group; a question with more is split. `per_device_train_batch_size` counts groups."""

    @model_validator(mode="after")
    def _documents_can_be_compared(self) -> DistillJudge:
        if self.loss.listwise and self.documents_per_group < 2:
            raise ValueError(
                f"loss.listwise compares the documents of a group, and documents_per_group is "
                f"{self.documents_per_group}; set it to 2 or more, or loss.listwise to 0"
            )
        if self.loss.listwise and not {"score", "explain"} & {*self.practised.shares}:
            raise ValueError(
                "loss.listwise compares grades that are read at once, and only explanations before the grade are "
                "practised; give mixture.score or mixture.explain a share, or set loss.listwise to 0"
            )
        return self

    @property
    def practised(self) -> MixtureRecipe:
        """The mixture, spelled out."""
        return self.mixture or (
            MixtureRecipe(explain=1.0) if self.prompt.order == "grade_first" else MixtureRecipe(reason=1.0)
        )


class RlJudge(RlRecipe):
    """Reward judgments of single documents, by GRPO or by the original InteRank's reward-weighted refinement."""

    explains: ClassVar[bool] = True
    task: Literal["judge"] = "judge"
    """What is learned: a document's grade, and why."""
    algorithm: Literal["grpo", "reward_weighted"] = "grpo"
    """`grpo` samples from the policy as it learns; `reward_weighted` samples once and learns what was rewarded, as
    the original InteRank does."""
    documents_per_query: int = Field(4, ge=2)
    """The documents of each query in a batch, a seeded sample; queries with fewer are left out."""
    reason_share: float | None = Field(None, ge=0, le=1)
    """The share of the queries that are answered explanation first, the others grade first; null is half where the
    adapter has learned both orders, else the one it has learned."""
    grade: GradeRecipe = GradeRecipe()
    """How the grade of a grade-first answer is trained."""
    token_credit: bool = True
    """In grade-first order the tokens after the grade get the explanation's rewards only."""
    hard_examples: HardExamplesRecipe | None = None
    """Train only pairs that are hard for the start policy; null trains all."""
    reward_weighted: RewardWeightedRecipe = RewardWeightedRecipe()
    """For `algorithm: reward_weighted`."""
    reward_model: FilePath | None = None
    """The output of `interank reward`; with it the reward `explanation_quality` replaces `stance`, `support` and
    `faithfulness`, with the sum of their weights."""

    @classmethod
    def trainer_config(cls, given: Mapping[str, Any]) -> TrainerConfig:
        """Reward-weighted refinement is supervised."""
        return "SFTConfig" if given.get("algorithm") == "reward_weighted" else "GRPOConfig"

    @model_validator(mode="after")
    def _the_reward_model_is_asked(self) -> RlJudge:
        entries = self.rewards
        if self.reward_model is None or any(entry.params.get("model") == str(self.reward_model) for entry in entries):
            return self
        replaced = [entry for entry in entries if entry.use in WITHOUT_MODEL]
        if not replaced:
            raise ValueError(
                f"reward_model: it takes the place of {', '.join(WITHOUT_MODEL)}, of which rewards has none; add "
                "{use: explanation_quality, params: {model: DIR}} to rewards instead"
            )
        quality = RewardRecipe(
            use="explanation_quality",
            weight=sum(entry.weight for entry in replaced),
            params={"model": str(self.reward_model)},
        )
        # Set on the checked recipe, so that the stored one lists the rewards in use.
        object.__setattr__(self, "rewards", (*(entry for entry in entries if entry not in replaced), quality))
        return self

    @model_validator(mode="after")
    def _nothing_is_set_in_vain(self) -> RlJudge:
        if self.algorithm == "reward_weighted":
            refuse_unused(self, _UNUSED_BY_REWARD_WEIGHT, beside="beside `algorithm: reward_weighted`", who="that has")
        return self

    @model_validator(mode="after")
    def _batches_hold_whole_queries(self) -> RlJudge:
        if self.algorithm == "grpo":
            between = self.grade.listwise > 0
            check_batches(self.trainer, self.documents_per_query, between=between, in_order=self.shared_prefix)
        return self
