"""The recipe keys of `interank reward`: its explanations, their encoding, the training and its control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from interank.explanations import Fault
from interank.settings.base import FilePath, Settings, as_tuple
from interank.settings.heads import HeadSettings
from interank.settings.prompts import Quantisation
from interank.settings.student import LoraRecipe, Precision

_READING = HeadSettings(max_query_tokens=160, max_explanation_tokens=256, max_length=1024)


class RewardModelRecipe(Settings):
    """`interank reward`: train an adapter that marks explanations, on marked ones."""

    inputs: ClassVar[tuple[str, ...]] = ("judgments",)
    shorter: ClassVar[tuple[str, ...]] = ("encoding.max_length", "trainer.per_device_train_batch_size")
    """The keys to lower where memory is short."""
    stage: Literal["reward"]
    judgments: FilePath | None = None
    """An output of `interank generate` with explanations."""
    student: str
    """The policy's base model, a hub name or a folder, which the reward model shares with the policy."""
    seed: int = 42
    """Decides initial weights, which pairs are drawn, and their order."""
    quantisation: Quantisation = "auto"
    """As in distill."""
    double_quantisation: bool = False
    """As in distill."""
    precision: Precision = "auto"
    """As in distill."""
    lora: LoraRecipe = LoraRecipe(rank=16, alpha=16)
    """The adapter."""
    encoding: HeadSettings = _READING
    """How query, document and explanation become one row."""
    margin: float = Field(2.0, ge=0)
    """The logits by which an explanation with mark 1 is to lead one with mark 0; in proportion between other marks."""
    least_difference: float = Field(0.1, gt=0, le=1)
    """Explanations whose marks are closer are not compared."""
    pairs_per_document: int = Field(16, ge=1)
    """The most pairs of explanations of one document that are learned, a seeded sample."""
    left_out: Annotated[tuple[Fault, ...], BeforeValidator(as_tuple)] = ()
    """Kinds of fault that are not trained on but measured, which shows how training on others generalises."""
    controls: bool = True
    """Train a twin on shuffled marks too, which doubles the time."""
    trainer: Mapping[str, Any] = {}
    """Any field of trl.RewardConfig."""

    @model_validator(mode="after")
    def _explanations_are_read(self) -> RewardModelRecipe:
        if self.encoding.max_explanation_tokens is None:
            raise ValueError("encoding.max_explanation_tokens: null reads no explanation; give a number of tokens")
        return self

    @classmethod
    def trainer_config(cls, given: Any) -> Literal["RewardConfig"]:
        """The name of the class whose fields `trainer` takes."""
        return "RewardConfig"

    def missing(self) -> list[str]:
        """The inputs that are missing and without which it cannot start."""
        return [] if self.judgments else ["judgments"]
