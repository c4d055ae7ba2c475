"""The interfaces of a task for the stages that train: its training data, its policy, and what their card needs."""

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
from interank.rewards import Reward, Subject, WeightedReward
from interank.settings import Quantisation
from interank.training.memory import Microbatch
from interank.training.refining import RefinementOutcome
from interank.training.sft import TrainingOutcome

TeacherJudge = Callable[[Sequence[str]], list[str | None]]
"""Answers each question, or None where it failed."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a training made, as its card needs it."""

    base: str
    notes: Mapping[str, Any]
    """The manifest's notes."""
    recipe: Mapping[str, Any]
    counts: Mapping[str, int]
    history: Sequence[Mapping[str, float]]
    pictures: Sequence[str]


class TrainingData(Protocol):
    """The data that teaches a student a task, made from one recipe, and how it is trained on."""

    counts: Mapping[str, int]
    """Counts for the manifest."""
    groups: Sequence[Any]
    """The units of a batch: `per_device_train_batch_size` counts them."""
    told: str
    """The amount and kind of the data, in words for the log."""
    microbatch: Microbatch
    """The largest microbatch of a step."""
    notes: Mapping[str, Any]
    """Notes for the manifest, by which the adapter is used as it was trained."""
    tokenizer: Any
    head: bool
    """True where the student gets a head with one logit."""

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The student with an adapter to be trained."""
        ...

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool) -> TrainingOutcome:
        """Train the adapter in place, from the last complete checkpoint in `folder` if there is one."""
        ...

    def describe(self, folder: Path) -> None:
        """Write next to the adapter's weights the settings for its use."""
        ...

    def card(self, made: CardFacts) -> ModelCard:
        """The adapter's card."""
        ...


class Task(Protocol):
    """The part of a task that distill uses; `recipe` is of the task's own class."""

    def training_data(self, recipe: Any, student: ModelFiles, place: Workplace) -> TrainingData:
        """The data that the student is trained on; files that belong to the output are written to `place`.

        Raises:
            InputError: There is nothing to learn, or the student cannot learn it.
        """
        ...


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """The documents that a recorded completion is about, for the training's page."""

    title: str
    texts: Sequence[str]
    """The document or the documents."""
    judged: str | None = None
    """The judgment of the completion's one document, where it has one."""


class Policy(Protocol):
    """An adapter that rl improves at a task, by one recipe."""

    encoder: PromptEncoder
    algorithm: str
    """The algorithm and its data in words, for the card."""
    does: str
    """What such an adapter does, for the card."""
    notes: Mapping[str, Any]
    """Notes for the manifest, by which the adapter is used as it was trained."""

    def train(self, model: PeftModel, rewards: Sequence[WeightedReward]) -> RefinementOutcome:
        """Train the adapter in place, from the last complete checkpoint if there is one.

        Raises:
            TrainingError: The training cannot start or continue; the last good adapter is kept.
        """
        ...


class ExplainingPolicy(Policy, Protocol):
    """A policy whose recipe has `explains`: a judge can mark its fresh explanations during training."""

    def train(
        self, model: PeftModel, rewards: Sequence[WeightedReward], gold: TeacherJudge | None = None
    ) -> RefinementOutcome:
        """See `Policy`; `gold` is the judge."""
        ...


class Refining(Protocol):
    """The part of a task that rl uses; `recipe` is of the task's own class."""

    SUBJECT: Subject
    """The subject that its rewards rate."""

    def check(self, recipe: Any, adapter: Artifact, rewards: Sequence[Reward]) -> None:
        """Refuse a recipe, an adapter or rewards that do not go together, before anything is written.

        Raises:
            InputError: They do not go together.
        """
        ...

    def shown(self, row: Mapping[str, Any]) -> ShownPrompt:
        """The documents of a row of `rollouts.jsonl`."""
        ...

    def policy(self, recipe: Any, adapter: Artifact, base: ModelFiles, work: Path) -> Policy:
        """The policy, ready to train; checkpoints, trials and rollouts go to `work`.

        Raises:
            InputError: There is nothing to train on, or a completion has no room for an answer.
        """
        ...
