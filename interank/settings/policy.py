"""What rl can be told beside rewards: how the grade is trained, which examples count, and who watches the policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.teacher import TeacherRecipe


class GradeRecipe(Settings):
    """How the grade of a grade-first answer is trained: one token of three, which need not be sampled."""

    gradient: Literal["exact", "sampled", "none"] = "exact"
    """`exact` sums the policy gradient over the three grades and over the ranking they make; `sampled` takes the grades
    of the completions, as any other token; `none` leaves the grade to the losses below, which is the control."""
    calibration: float = Field(0.0, ge=0)
    """The weight of the log score of the judged grade, a loss that keeps probabilities honest."""
    listwise: float = Field(0.0, ge=0)
    """The weight of a loss between a query's documents, on the score that ranks: supervision, not reward."""
    listwise_loss: Literal["listnet", "lambda"] = "listnet"
    """Which: `listnet` is the cross-entropy between the shares of the query's gain and the softmax of its scores,
    `lambda` is LambdaLoss, each pair weighed by what it changes of nDCG@10."""

    @model_validator(mode="after")
    def _something_trains_it(self) -> GradeRecipe:
        if self.gradient == "none" and not self.calibration + self.listwise:
            raise ValueError("gradient: none leaves the grade to calibration and listwise; give one of them a weight")
        return self


class HardExamplesRecipe(Settings):
    """Which pairs are trained, by how often the start policy grades them rightly."""

    questions: int | None = Field(4000, ge=1)
    """How many questions are asked for, a seeded sample, and then trained on: as many as 500 steps of 8 queries take;
    null is all."""
    least: float = Field(0.02, ge=0, lt=1)
    """Pairs that are right less often are left out."""
    most: float = Field(0.98, gt=0, le=1)
    """Pairs that are right more often are left out."""
    samples: int = Field(8, ge=2)
    """Answers that are sampled of each pair in reason-first order; in grade-first order its probability is read."""


class GoldRecipe(Settings):
    """How often the policy's own explanations are marked by somebody whom no reward asks."""

    every: int = Field(ge=1)
    """Steps between two checks, a multiple of `validation.every`."""
    samples: int = Field(32, ge=4)
    """How many validation pairs are explained anew, at temperature 1, and marked at each check."""
    judge: TeacherRecipe
    """Who marks them, from 0 to 10 against the rubric of `explanation_quality`; a model of another family than the
    policy's and than any that rewards ask."""


class TrialRecipe(Settings):
    """How the policy is tried on the validation split while it trains."""

    every: int = Field(10, ge=1)
    """Steps between two trials."""
    questions: int = Field(50, ge=0)
    """How many of the validation questions, a seeded sample: one half chooses, the other reports (of fewer than four
    all choose); 0 tries nothing and keeps the last adapter."""
    calibration_margin: float = Field(0.1, ge=0)
    """The adapter that is kept has the best nDCG@10 of those whose calibration error is at most so much above the
    start's. A share of a hundred documents is uncertain by some 0.05; twice that is more than chance."""
    explained: int = Field(8, ge=0)
    """How many of their pairs are answered whole, to see form, length, and what becomes of an answer; of lists, which
    are all answered whole, how many answers are shown."""
    gold: GoldRecipe | None = None
    """A judge of another family that marks fresh explanations now and then; null asks nobody."""

    @model_validator(mode="after")
    def _gold_goes_with_trials(self) -> TrialRecipe:
        if self.gold is not None and (self.gold.every % self.every or not self.questions):
            raise ValueError(
                f"gold.every: {self.gold.every} was found, and explanations are marked at a trial of validation "
                f"questions; make it a multiple of every, {self.every}, and questions more than 0"
            )
        return self


class CollapseDetectionRecipe(Settings):
    """When a training stops and its best adapter is kept; each against the trial at the start."""

    enabled: bool = True
    """False goes on whatever happens; the best adapter is kept all the same."""
    patience: int = Field(3, ge=1)
    """Trials in a row that have to show a fall."""
    ndcg_drop: float = Field(0.05, gt=0)
    """How far below the best nDCG@10 is down."""
    entropy_share: float = Field(0.05, ge=0, lt=1)
    """A smaller share of the first entropy a token is gone."""
    grade_entropy_share: float = Field(0.1, ge=0, lt=1)
    """A smaller share of the start's entropy of the three grades is polarised. A run on real posts that was lost went
    from 0.885 to 0.047 and 0.027 nats."""
    calibration_rise: float = Field(0.15, gt=0)
    """How far above the start's the grades' calibration error is lost, if it stays there for `patience` trials. The
    same run went from 0.047 to over 0.2 at its first trial and never came back."""
    length_factor: float = Field(3.0, gt=1)
    """Explanations so many times as long, or as short, have exploded or vanished."""
    gold_drop: float = Field(0.1, gt=0, le=1)
    """How far below the best of the checks before, out of 1, the marks of `validation.gold` are down. Adapters of which
    that is so are not kept; two checks in a row while the reward has risen stop the training."""
    format_drop: float = Field(0.3, gt=0, le=1)
    """How far the share of readable answers may fall."""


class RewardWeightedRecipe(Settings):
    """The original InteRank's refinement: samples are rewarded, scaled within their pair, and learned by weight."""

    samples: int = Field(8, ge=1)
    """Answers sampled of each pair; the teacher's stands beside them."""
    temperature: float = Field(1.0, gt=0)
    """At which they are sampled."""
    least: float = Field(0.85, ge=0, le=1)
    """Answers with a smaller reward, scaled to 0 to 1 within the pair, are dropped."""
    power: float = Field(3.0, ge=0)
    """The weight of an answer's loss is its scaled reward to this power."""
