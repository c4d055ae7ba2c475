"""What distillation can be told: which tasks are practised, what the loss is made of, how it is validated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Names, Settings

Task = Literal["score", "explain", "reason", "queries"]
TASKS: tuple[Task, ...] = ("score", "explain", "reason", "queries")
Precision = Literal["auto", "float32", "bfloat16"]


class MixtureRecipe(Settings):
    """How many of the questions are practised in each way, as shares; one may be practised in several.

    A document is computed once for all the ways in which it is practised, since what tells them apart stands after it.
    """

    score: float = Field(0.0, ge=0, le=1)
    """The grade alone, read in one forward pass."""
    explain: float = Field(0.0, ge=0, le=1)
    """The grade, then its justification: whoever learns it scores too."""
    reason: float = Field(0.0, ge=0, le=1)
    """The explanation, then the grade that follows from it, as InteRank has it."""
    queries: float = Field(0.0, ge=0, le=1)
    """Search queries for the question, for a first stage; needs judgments made with `teacher.queries`."""

    @model_validator(mode="after")
    def _something_is_practised(self) -> MixtureRecipe:
        if not self.score + self.explain + self.reason:
            raise ValueError("no way of judging has a share above 0; give score, explain or reason one")
        return self

    @property
    def shares(self) -> dict[Task, float]:
        """The tasks that are practised at all, each with its share."""
        shares: dict[Task, float] = {
            "score": self.score,
            "explain": self.explain,
            "reason": self.reason,
            "queries": self.queries,
        }
        return {task: share for task, share in shares.items() if share}


class LossRecipe(Settings):
    """What the loss is the weighted sum of."""

    tokens: float = Field(1.0, ge=0)
    """The mean cross-entropy over the answers' tokens, as TRL has it; in `score` the grade is the only one."""
    grade: float = Field(0.0, ge=0)
    """The mean cross-entropy at the grade's position against the teacher's probabilities, or the grade where it gave
    none."""
    listwise: float = Field(0.0, ge=0)
    """The mean cross-entropy between a question's documents: their grades' gains against their scores, as ListNet."""

    @model_validator(mode="after")
    def _something_counts(self) -> LossRecipe:
        if not self.tokens + self.grade + self.listwise:
            raise ValueError("loss: no part has a weight above 0, so there is nothing to learn; give one")
        return self


class ValidationRecipe(Settings):
    """How the student is tried on the validation split while it trains."""

    every: int | None = Field(None, ge=1)
    """Steps between two trials, of which the adapter with the best nDCG@10 is kept; null is trainer.save_steps."""
    questions: int = Field(50, ge=0)
    """How many of the validation questions, a seeded sample; 0 tries nothing and keeps the last adapter."""
    patience: int | None = Field(None, ge=1)
    """Training ends after so many trials in a row without a better one; null goes on to the end."""


class LoraRecipe(Settings):
    """The adapter's shape."""

    rank: int = Field(64, ge=1)
    """Higher learns more and costs memory."""
    alpha: int = Field(64, ge=1)
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapter's inputs dropped in training."""
    targets: Names | None = None
    """The linear layers that get an adapter, by name; null is all but the head."""
    layers: int | None = Field(None, ge=1)
    """How many of the transformer's last layers get adapters, below which no backward pass goes; null is all."""
