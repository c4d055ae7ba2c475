"""What a task says of itself to the stages that train: what a model learns of it, how, and what is kept of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import ModelCard
from peft import PeftModel

from interank.artifact import Artifact, Workplace
from interank.engines.models import ModelFiles
from interank.engines.prompts import PromptEncoder
from interank.rewards import Equipped, Reward, Subject
from interank.settings import Quantisation
from interank.training.memory import Microbatch
from interank.training.refining import Refined
from interank.training.sft import Trained

Judge = Callable[[Sequence[str]], list[str | None]]
"""Answers each question, or None where it failed."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a training made, as its card needs it."""

    base: str
    notes: Mapping[str, Any]
    """Those of the manifest."""
    recipe: Mapping[str, Any]
    counts: Mapping[str, int]
    history: Sequence[Mapping[str, float]]
    pictures: Sequence[str]


class TrainingData(Protocol):
    """The data that teaches a student a task, made from one recipe, and how it is trained on."""

    counts: Mapping[str, int]
    """For the manifest."""
    groups: Sequence[Any]
    """What batches are made of: `per_device_train_batch_size` counts them."""
    told: str
    """How much there is to learn, and of what."""
    microbatch: Microbatch
    """The largest that a step computes."""
    notes: Mapping[str, Any]
    """What the manifest says so that the adapter can be used as it was trained."""
    tokenizer: Any
    head: bool
    """Whether the student gets a head of one number."""

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The student with an adapter to be trained."""
        ...

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool) -> Trained:
        """Train the adapter in place, from the last complete checkpoint in `folder` if there is one."""
        ...

    def describe(self, folder: Path) -> None:
        """Write beside the adapter's weights how it is used."""
        ...

    def card(self, made: Made) -> ModelCard:
        """The adapter's card."""
        ...


class Task(Protocol):
    """What differs by what is learned; `recipe` is the task's own."""

    def training_data(self, recipe: Any, student: ModelFiles, place: Workplace) -> TrainingData:
        """The data that the student is trained on; files that belong to the output are written to `place`.

        Raises:
            InputError: There is nothing to be learned, or it cannot be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What a recorded completion answers, for the training's page."""

    title: str
    texts: Sequence[str]
    """The document or the documents."""
    judged: str | None = None
    """The judgment of the completion's one document, where it has one."""


class Policy(Protocol):
    """An adapter that rl improves at a task, by one recipe."""

    encoder: PromptEncoder
    algorithm: str
    """For the card: by what, and on what, it learns."""
    does: str
    """For the card: what such an adapter does."""
    notes: Mapping[str, Any]
    """What the manifest says so that the adapter can be used as it was trained."""

    def train(self, model: PeftModel, rewards: Sequence[Equipped]) -> Refined:
        """Train the adapter in place, from the last complete checkpoint if there is one.

        Raises:
            TrainingError: The training cannot begin or go on; the last good adapter is kept.
        """
        ...


class ExplainingPolicy(Policy, Protocol):
    """One whose recipe says `explains`: a judge can mark its fresh explanations on the way."""

    def train(self, model: PeftModel, rewards: Sequence[Equipped], gold: Judge | None = None) -> Refined:
        """See `Policy`; `gold` is the judge."""
        ...


class Refining(Protocol):
    """What rl asks of a task; `recipe` is the task's own."""

    SUBJECT: Subject
    """What its rewards look at."""

    def check(self, recipe: Any, adapter: Artifact, rewards: Sequence[Reward]) -> None:
        """Stop where recipe, adapter and rewards do not go together, before anything is made.

        Raises:
            InputError: Says what does not.
        """
        ...

    def shown(self, row: Mapping[str, Any]) -> Shown:
        """What a row of `rollouts.jsonl` is of."""
        ...

    def policy(self, recipe: Any, adapter: Artifact, base: ModelFiles, work: Path) -> Policy:
        """What is trained on, ready; checkpoints, trials and rollouts go to `work`.

        Raises:
            InputError: There is nothing to train on, or a completion has no room for an answer.
        """
        ...
