"""The settings of rl beside rewards: how the grade is trained, which examples count, and how the policy is watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.teacher import TeacherRecipe

GOLD_CHECKS = 2
"""How many gold checks in a row have to be lower, since fresh samples are few and marks are noisy."""


class GradeRecipe(Settings):
    """How the grade of a grade-first answer is trained: one of three tokens, so it need not be sampled."""

    gradient: Literal["exact", "sampled", "none"] = "exact"
    """`exact` sums the policy gradient over the three grades and over the ranking they make; `sampled` treats the
    sampled grade as any other token; `none` trains the grade by the losses below alone, as a control."""
    calibration: float = Field(0.0, ge=0)
    """The weight of the log loss of the judged grade, which keeps probabilities calibrated."""
    listwise: float = Field(0.0, ge=0)
    """The weight of a listwise loss over the ranking scores of a query's documents: supervision, not reward."""
    listwise_loss: Literal["listnet", "lambda"] = "listnet"
    """`listnet` is the cross-entropy between the documents' shares of the query's gain and the softmax of their scores;
    `lambda` is LambdaLoss, each pair weighted by its effect on nDCG@10."""

    @model_validator(mode="after")
    def _something_trains_it(self) -> GradeRecipe:
        if self.gradient == "none" and not self.calibration + self.listwise:
            raise ValueError("gradient: none leaves the grade to calibration and listwise; give one of them a weight")
        return self


class HardExamplesRecipe(Settings):
    """Which pairs are trained, by how often the starting policy grades them correctly."""

    questions: int | None = Field(4000, ge=1)
    """How many questions, a seeded sample, are graded by the starting policy and then trained on; null is all. The
    default is what 500 steps of 8 queries use."""
    least: float = Field(0.02, ge=0, lt=1)
    """Pairs that are graded correctly less often than this are left out."""
    most: float = Field(0.98, gt=0, le=1)
    """Pairs that are graded correctly more often than this are left out."""
    samples: int = Field(8, ge=2)
    """In reason-first order: answers sampled for each pair. In grade-first order the grade's probability is used."""


class GoldRecipe(Settings):
    """Checks of the policy's own explanations by a judge that no reward uses."""

    every: int = Field(ge=1)
    """Steps between two checks, a multiple of `validation.every`."""
    samples: int = Field(32, ge=4)
    """How many pairs of the validation questions that choose are explained afresh, at temperature 1, and marked at each
    check."""
    judge: TeacherRecipe
    """The model that marks them, from 0 to 10 against the rubric of `explanation_quality`. Take one of another family
    than the policy and any model that rewards ask; that its name differs from theirs is all that is checked."""


class TrialRecipe(Settings):
    """How the policy is tried on the validation split while it trains."""

    every: int = Field(10, ge=1)
    """Steps between two trials."""
    questions: int = Field(50, ge=0)
    """How many of the validation questions, a seeded sample: one half selects the adapter, the other gives the reported
    figures (fewer than four all select); 0 tries nothing and keeps the last adapter."""
    calibration_margin: float = Field(0.1, ge=0)
    """The adapter with the best nDCG@10 is kept, among those whose calibration error is at most this far above the
    start's. A share of a hundred documents has a standard error of about 0.05; twice that is more than chance."""
    explained: int = Field(8, ge=0)
    """How many of their pairs get a whole answer, to watch form, length and content; for lists, whose answers are all
    whole, how many answers are shown."""
    gold: GoldRecipe | None = None
    """A judge that no reward asks, which marks fresh explanations now and then; null has none."""

    @model_validator(mode="after")
    def _gold_goes_with_trials(self) -> TrialRecipe:
        if self.gold is not None and (self.gold.every % self.every or not self.questions):
            raise ValueError(
                f"gold.every: {self.gold.every} was found, but explanations are marked at trials of validation "
                f"questions; make it a multiple of every, {self.every}, and questions more than 0"
            )
        return self


class CollapseDetectionRecipe(Settings):
    """Signs of collapse that stop a training early; its best adapter is kept."""

    enabled: bool = True
    """False never stops early; the best adapter is kept all the same."""
    patience: int = Field(3, ge=1)
    """How many trials in a row have to show a fall of nDCG@10 or a rise of the calibration error."""
    ndcg_drop: float = Field(0.05, gt=0)
    """Stops when nDCG@10 is this far below its best."""
    entropy_share: float = Field(0.05, ge=0, lt=1)
    """Stops when the entropy a token is below this share of the first step's."""
    grade_entropy_share: float = Field(0.1, ge=0, lt=1)
    """Stops when the entropy of the three grades is below this share of the start's. In a run on real posts that
    collapsed it fell from 0.885 to 0.047 and 0.027 nats."""
    calibration_rise: float = Field(0.15, gt=0)
    """Stops when the grades' calibration error is this far above the start's for `patience` trials. In the same run it
    rose from 0.047 to over 0.2 at the first trial and stayed there."""
    length_factor: float = Field(3.0, gt=1)
    """Stops when explanations are this many times as long as at the start, or as short."""
    gold_drop: float = Field(0.1, gt=0, le=1)
    """How far the marks of `validation.gold`, out of 1, may fall below the best of earlier checks. An adapter below is
    not kept; two checks below in a row, while the reward has risen, stop the training."""
    format_drop: float = Field(0.3, gt=0, le=1)
    """Stops when the share of readable answers has fallen by this much."""


class RewardWeightedRecipe(Settings):
    """The original InteRank's refinement: SFT on sampled answers, weighted by rewards that are scaled within a pair."""

    samples: int = Field(8, ge=1)
    """Answers sampled for each pair, beside the teacher's."""
    temperature: float = Field(1.0, gt=0)
    """The sampling temperature."""
    least: float = Field(0.85, ge=0, le=1)
    """Answers whose reward, scaled to 0..1 within the pair, is smaller are dropped."""
    power: float = Field(3.0, ge=0)
    """The weight of an answer's loss is its scaled reward to this power."""
