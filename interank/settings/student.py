"""The settings of distillation: the mixture of modes, the parts of the loss, validation and the adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Names, Settings

Task = Literal["score", "explain", "reason", "queries"]
TASKS: tuple[Task, ...] = ("score", "explain", "reason", "queries")
Precision = Literal["auto", "float32", "bfloat16"]


class MixtureRecipe(Settings):
    """The share of the questions that is trained in each mode; a question may be trained in several.

    A document is computed once for all its modes, since prompts of different modes differ only after it.
    """

    score: float = Field(0.0, ge=0, le=1)
    """The grade alone, read in one forward pass."""
    explain: float = Field(0.0, ge=0, le=1)
    """The grade, then its justification; trains scoring too."""
    reason: float = Field(0.0, ge=0, le=1)
    """The explanation, then the grade that follows from it, as InteRank has it."""
    queries: float = Field(0.0, ge=0, le=1)
    """Search queries for the question, for a first stage; needs judgments made with `teacher.queries`."""

    @model_validator(mode="after")
    def _something_is_practised(self) -> MixtureRecipe:
        if not self.score + self.explain + self.reason:
            raise ValueError("no mode of judging has a share above 0; raise score, explain or reason")
        return self

    @property
    def shares(self) -> dict[Task, float]:
        """The modes with a share above 0, each with its share."""
        shares: dict[Task, float] = {
            "score": self.score,
            "explain": self.explain,
            "reason": self.reason,
            "queries": self.queries,
        }
        return {task: share for task, share in shares.items() if share}


class LossRecipe(Settings):
    """The weights of the parts whose sum is the loss."""

    tokens: float = Field(1.0, ge=0)
    """The mean cross-entropy over the answers' tokens, as in TRL; in mode `score` the grade is the only such token."""
    grade: float = Field(0.0, ge=0)
    """The mean cross-entropy at the grade's position against the teacher's probabilities, or against its grade where
    there are no probabilities."""
    listwise: float = Field(0.0, ge=0)
    """ListNet: the mean cross-entropy between the gains of a question's documents and their scores."""

    @model_validator(mode="after")
    def _something_counts(self) -> LossRecipe:
        if not self.tokens + self.grade + self.listwise:
            raise ValueError("loss: no part has a weight above 0, so nothing would be trained; give one a weight")
        return self


class ValidationRecipe(Settings):
    """How the student is tried on the validation split while it trains."""

    every: int | None = Field(None, ge=1)
    """Steps between two trials; the adapter of the best nDCG@10 is kept; null is trainer.save_steps."""
    questions: int = Field(50, ge=0)
    """How many of the validation questions, a seeded sample; 0 tries nothing and keeps the last adapter."""
    patience: int | None = Field(None, ge=1)
    """Training ends after this many trials in a row without a better one; null never ends it early."""


class LoraRecipe(Settings):
    """The adapter's shape."""

    rank: int = Field(64, ge=1)
    """The adapter's rank: a higher one learns more and takes more memory."""
    alpha: int = Field(64, ge=1)
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """The share of the adapter's inputs that is dropped in training."""
    targets: Names | None = None
    """The linear layers that get an adapter, by name; null is all but the head."""
    layers: int | None = Field(None, ge=1)
    """How many of the transformer's last layers get adapters; no backward pass goes below them; null is all."""
