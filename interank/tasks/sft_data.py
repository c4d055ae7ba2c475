"""Training data of a student that generates text: rows of a prompt and an answer, learned by TRL's SFTTrainer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from peft import PeftModel

from interank.engines.adapters import with_adapter
from interank.engines.bases import begun_from
from interank.engines.layers import allowed_of
from interank.engines.models import ModelFiles, load_model
from interank.engines.prompts import PromptEncoder
from interank.engines.use import Use, save_use
from interank.settings import Quantisation
from interank.settings.prompts import InstructedSettings
from interank.tasks.protocol import CardFacts
from interank.tasks.recipes import DistillRecipe
from interank.training.adapters import fresh_adapter
from interank.training.memory import Microbatch
from interank.training.rows import Group
from interank.training.sft import SftSettings, TrainingOutcome, largest_microbatch, train
from interank.training.trials import Trial
from interank.types import Query
from interank.wording import counted


@dataclass(frozen=True, slots=True)
class SftTrainingData:
    """Groups of rows for a student, the settings of their training, and the adapter's notes and card."""

    recipe: DistillRecipe
    student: ModelFiles
    encoder: PromptEncoder
    groups: Sequence[Group]
    settings: SftSettings
    counts: Mapping[str, int]
    notes: Mapping[str, Any]
    card: Callable[[CardFacts], ModelCard]
    trial: Trial | None = None
    use: Use | None = None
    """Stored next to the weights, for use of the adapter without its manifest."""

    head = False

    @property
    def told(self) -> str:
        """The numbers of rows and questions, in words."""
        return f"{self.counts['rows']} rows of {self.counts['questions']} questions"

    @property
    def tokenizer(self) -> Any:
        """The student's tokenizer."""
        return self.encoder.tokenizer

    @property
    def microbatch(self) -> Microbatch:
        """The largest microbatch of a step."""
        planted = self.settings.shared_prefix and allowed_of(self.student.name, self.student.folder).tree
        return largest_microbatch(self.groups, self.settings.trainer, shared_prefix=planted)

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The student with a fresh adapter, or with the one that is trained further."""
        recipe = self.recipe
        model = load_model(
            self.student,
            quantisation=quantisation,
            double_quantisation=recipe.double_quantisation,
            precision=recipe.precision,
        )
        start = begun_from(recipe.student)
        if start is not None:
            return with_adapter(model, start.path / "adapter", trainable=True)
        return fresh_adapter(model, recipe.lora, seed=recipe.seed)

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool) -> TrainingOutcome:
        """Train by `training.sft.train`."""
        return train(
            model,
            self.encoder,
            self.groups,
            self.settings,
            folder=folder,
            checkpointing=checkpointing,
            trial=self.trial,
        )

    def describe(self, folder: Path) -> None:
        """Write the prompts' settings and the modes next to the weights."""
        if self.use is not None:
            save_use(folder, self.use)


def perhaps_without(query: Query, share: float, seed: int) -> Query:
    """The query as it is shown: without its instruction for a `share` of all queries, drawn by the seed."""
    drawn = share > 0 and random.Random(f"{seed} instruction {query.query_id}").random() < share
    return replace(query, instruction="") if drawn else query


def instructed_counts(prompt: InstructedSettings, queries: Iterable[Query]) -> dict[str, int]:
    """The number of questions shown with an instruction; empty where the student learns without any."""
    if not prompt.follows:
        return {}
    return {"instructed": len({query.query_id for query in queries if prompt.instruction_of(query)})}


def instructions_note(counts: Mapping[str, int]) -> str:
    """A card's sentence on instructions; empty where none was learned."""
    if "instructed" not in counts:
        return ""
    return (
        f"It learned to follow instructions: {counts['instructed']} of {counted(counts['questions'], 'question')} had "
        "one, before the query; `rank(..., instruction=...)` gives one."
    )
