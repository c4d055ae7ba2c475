"""The reward model as it is trained: pairs of explanations in ids, the student with a head, and what is kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from peft import PeftModel
from safetensors.torch import load_file, save_file

from interank.engines.adapters import ADAPTER_WEIGHTS
from interank.engines.heads import Head, scores
from interank.engines.models import PEFT, ModelFiles, load_tokenizer
from interank.engines.pairs import Pair, PairEncoder
from interank.engines.reward_adapter import HEAD, WEIGHT
from interank.engines.transformers import reading
from interank.engines.use import save_head
from interank.errors import InputError
from interank.explanations import Explained
from interank.settings import Quantisation
from interank.tasks.head.reward_model.comparisons import comparisons, dealt_anew
from interank.tasks.head.reward_model.figures import key_of
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.head.training import fresh_head
from interank.training.adapters import save_adapter
from interank.training.memory import Microbatch
from interank.training.preferences import PREFERENCES, Preference, train
from interank.training.sft import SftSettings, Trained
from interank.types import Document, Query

log = logging.getLogger(__name__)

_SCORE = ".score."


@dataclass(frozen=True)
class RewardTrainingData:
    """Marked explanations to learn from, and how they are learned."""

    recipe: RewardModelRecipe
    student: ModelFiles
    rows: Sequence[Explained]

    @cached_property
    def encoder(self) -> PairEncoder:
        """How explanations are read."""
        return PairEncoder(load_tokenizer(self.student), self.recipe.encoding)

    @cached_property
    def preferences(self) -> list[Preference]:
        """By the marks."""
        return self._preferences(self.rows)

    @cached_property
    def microbatch(self) -> Microbatch:
        """The largest that a step computes, its padding included."""
        rows = self.recipe.trainer.get("per_device_train_batch_size", PREFERENCES["per_device_train_batch_size"])
        longest = max(len(ids) for each in self.preferences for ids in (each.chosen, each.rejected))
        tokens = int(2 * min(rows, len(self.preferences)) * longest)
        return Microbatch(tokens, keys=tokens)

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The student with an untrained adapter and head, the same each time."""
        return fresh_head(self.recipe, self.student, quantisation, pad=self.encoder.tokenizer.pad_token_id)

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool, shuffled: bool = False) -> Trained:
        """Train it in place on the marks, or on marks that are `shuffled`; see `preferences.train`."""
        recipe = self.recipe
        learned = self._preferences(dealt_anew(self.rows, recipe.seed)) if shuffled else self.preferences
        given = {"gradient_checkpointing": checkpointing, **recipe.trainer}
        settings = SftSettings(given, recipe.seed, shorter=recipe.shorter)
        return train(model, self.encoder, learned, settings, folder=folder)

    def scores(self, model: PeftModel, rows: Sequence[Explained]) -> dict[str, float]:
        """What the model, as it is, gives explanations, by `key_of` each."""
        with reading(model):
            found = scores(Head(model, self.encoder), [self._pair(row) for row in rows]).tolist()
        return dict(zip(map(key_of, rows), found, strict=True))

    def save(self, model: PeftModel, folder: Path) -> None:
        """Write adapter, head and how they read, so that they stand beside a policy on a causal model."""
        place = folder / "adapter"
        save_adapter(model, place, tokenizer=self.encoder.tokenizer, base=self.student.name)
        weights = load_file(place / ADAPTER_WEIGHTS)
        head = {name: weights.pop(name) for name in [*weights] if _SCORE in name}
        (weight,) = head.values()
        save_file(weights, place / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        save_file({WEIGHT: weight.float()}, folder / HEAD, metadata={"format": "pt"})
        config = json.loads((place / PEFT).read_text("utf-8")) | {"task_type": "CAUSAL_LM", "modules_to_save": None}
        (place / PEFT).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        save_head(place, self.recipe.encoding)

    def _preferences(self, rows: Sequence[Explained]) -> list[Preference]:
        recipe = self.recipe
        found = comparisons(rows, least=recipe.least_difference, most=recipe.pairs_per_document, seed=recipe.seed)
        made = [
            Preference(self._pair(each.better).ids, self._pair(each.worse).ids, recipe.margin * each.difference)
            for each in found
        ]
        told_apart = [each for each in made if each.chosen != each.rejected]
        most = recipe.encoding.max_explanation_tokens
        if made and not told_apart:
            raise InputError(
                f"no two explanations of a document differ in their first {most} tokens, and the model reads no more; "
                "raise encoding.max_explanation_tokens"
            )
        if alike := len(made) - len(told_apart):
            log.warning(
                "%d of %d pairs of explanations are alike in their first %d tokens (encoding.max_explanation_tokens), "
                "behind which nothing is read; they are left out",
                alike,
                len(made),
                most,
            )
        return told_apart

    def _pair(self, row: Explained) -> Pair:
        query, document = Query(row.query_id, row.query), Document(row.doc_id, row.document)
        return self.encoder.pair(query, document, row.explanation)
