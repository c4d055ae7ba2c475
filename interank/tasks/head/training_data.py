"""The training data of a head: groups of a query's documents as token ids, perhaps with a teacher's scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from peft import PeftModel

from interank.artifact import Workplace, open_artifact
from interank.engines.bases import stands_on
from interank.engines.heads import load_head
from interank.engines.models import ModelFiles, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.engines.use import read_head, save_head
from interank.errors import InputError
from interank.judgments import JudgedList
from interank.settings import HeadSettings, Quantisation
from interank.tasks.head.card import head_card
from interank.tasks.head.recipe import DistillHead
from interank.tasks.head.sources import head_lists, teacher_of
from interank.tasks.head.training import (
    HEAD_GROUPS,
    HeadGroup,
    HeadTrial,
    fresh_head,
    group_tokens,
    head_groups,
    train,
)
from interank.tasks.protocol import CardFacts
from interank.training.memory import Microbatch
from interank.training.ranking_losses import HeadLoss
from interank.training.sft import SftSettings, TrainingOutcome
from interank.training.stored_groups import stored_together


def training_data(recipe: DistillHead, student: ModelFiles, place: Workplace) -> HeadTrainingData:
    """The groups, drawn, scored by the teacher and encoded.

    Raises:
        InputError: There are no groups, the teacher scored other ones, or the adapter to train further is no head.
    """
    settings = _settings(recipe, student)
    # As `engines/heads` loads it: the tokenizer of an encoder has no token that ends a text.
    encoder = PairEncoder(load_tokenizer(student, writes=settings.pooling == "last"), settings)
    drawn = head_lists(recipe)
    teacher = teacher_of(recipe, drawn.groups, place)

    def groups_of(groups: Iterator[JudgedList]) -> Iterator[HeadGroup]:
        return head_groups(encoder, groups, teacher)

    groups = stored_together(HEAD_GROUPS, drawn.groups, drawn.counts["groups"], groups_of, place.work)
    counts = {**drawn.counts, "tokens": groups.tokens}
    trial = HeadTrial(encoder, drawn.validation) if drawn.validation else None
    return HeadTrainingData(recipe, student, encoder, groups, counts, trial)


@dataclass(frozen=True, slots=True)
class HeadTrainingData:
    """Groups for a head, their training, and the adapter's notes and card."""

    recipe: DistillHead
    student: ModelFiles
    encoder: PairEncoder
    groups: Sequence[HeadGroup]
    counts: Mapping[str, int]
    trial: HeadTrial | None

    head = True

    @property
    def told(self) -> str:
        """The numbers of groups and queries, in words."""
        return f"{len(self.groups)} groups of {self.counts['questions']} queries ({self.recipe.objective})"

    @property
    def tokenizer(self) -> Any:
        """The student's tokenizer."""
        return self.encoder.tokenizer

    @property
    def microbatch(self) -> Microbatch:
        """The largest microbatch of a step."""
        tokens = group_tokens(self.groups, self.recipe.trainer)
        return Microbatch(tokens, keys=tokens)

    @property
    def notes(self) -> Mapping[str, Any]:
        """The manifest's notes on the head."""
        recipe = self.recipe
        return {
            "objective": recipe.objective,
            "head": self.encoder.settings.model_dump(mode="json"),
            "modes": ["score"],
            "teacher": recipe.teacher or (str(recipe.teacher_scores) if recipe.teacher_scores else None),
        }

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The model with a head to train: a fresh one, or that of the adapter to train further."""
        recipe = self.recipe
        if recipe.adapter is None:
            return fresh_head(recipe, self.student, quantisation, pad=self.tokenizer.pad_token_id)
        return load_head(
            recipe.adapter,
            quantisation=quantisation,
            precision=recipe.precision,
            base=recipe.student,
            trainable=True,
        ).model

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool) -> TrainingOutcome:
        """Train by `training.train`."""
        recipe = self.recipe
        return train(
            model,
            self.encoder,
            self.groups,
            SftSettings(
                {"gradient_checkpointing": checkpointing, **recipe.trainer},
                recipe.seed,
                recipe.validation,
                shorter=recipe.shorter,
            ),
            loss=HeadLoss(recipe.objective, recipe.alpha, recipe.temperature),
            folder=folder,
            trial=self.trial,
        )

    def describe(self, folder: Path) -> None:
        """Write next to the weights that they are a head's, and how it reads a pair."""
        save_head(folder, self.encoder.settings)

    def card(self, made: CardFacts) -> ModelCard:
        """The head's card."""
        return head_card(made, Path(str(self.recipe.groups or self.recipe.judgments)).name)


def _settings(recipe: DistillHead, student: ModelFiles) -> HeadSettings:
    """The encoding of pairs: that of a head to train further, else the recipe's.

    Raises:
        InputError: The adapter to train further is no head, or has another base.
    """
    if recipe.adapter is None:
        return recipe.encoding or read_head(student.folder) or HeadSettings()
    adapter = open_artifact(recipe.adapter, "adapter")
    settings = read_head(adapter.path / "adapter")
    if settings is None:
        raise InputError(f"{adapter.path} was taught to write answers and has no head; give a head's output, or none")
    if not stands_on(adapter, student):
        raise InputError(
            f"{adapter.path} has the base {adapter.manifest['base']}, and the recipe's student is {recipe.student}; "
            "give the same model as student"
        )
    return settings
