"""The training data of a reward model: pairs of explanations as token ids, its training, and the files it writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from interank.engines.adapters import ADAPTER_WEIGHTS
from interank.engines.models import PEFT, ModelFiles, load_tokenizer
from interank.engines.pairs import Pair, PairEncoder
from interank.engines.reward_adapter import HEAD, WEIGHT, end_states
from interank.engines.soundness import require_scores
from interank.engines.transformers import reading
from interank.engines.tree.probe import tree_runner
from interank.engines.use import save_head
from interank.errors import InputError
from interank.explanations import ExplanationRow
from interank.settings import Quantisation
from interank.tasks.head.reward_model.comparisons import comparisons, dealt_anew
from interank.tasks.head.reward_model.figures import key_of
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.head.training import fresh_head
from interank.training.adapters import save_adapter
from interank.training.memory import Microbatch
from interank.training.preferences import PREFERENCES, Preference, train
from interank.training.sft import SftSettings, TrainingOutcome
from interank.types import Document, Query

log = logging.getLogger(__name__)

_SCORE = ".score."


@dataclass(frozen=True)
class RewardTrainingData:
    """Marked explanations to learn from, and their training."""

    recipe: RewardModelRecipe
    student: ModelFiles
    rows: Sequence[ExplanationRow]

    @cached_property
    def encoder(self) -> PairEncoder:
        """The encoder of query, document and explanation."""
        return PairEncoder(load_tokenizer(self.student), self.recipe.encoding)

    @cached_property
    def preferences(self) -> list[Preference]:
        """The preferences by the marks."""
        return self._preferences(self.rows)

    @cached_property
    def microbatch(self) -> Microbatch:
        """The largest microbatch of a step, its padding included."""
        rows = self.recipe.trainer.get("per_device_train_batch_size", PREFERENCES["per_device_train_batch_size"])
        longest = max(len(ids) for each in self.preferences for ids in (each.chosen, each.rejected))
        tokens = int(2 * min(rows, len(self.preferences)) * longest)
        return Microbatch(tokens, keys=tokens)

    def model(self, quantisation: Quantisation) -> PeftModel:
        """The student with an untrained adapter and head, the same each time."""
        return fresh_head(self.recipe, self.student, quantisation, pad=self.encoder.tokenizer.pad_token_id)

    def train(self, model: PeftModel, *, folder: Path, checkpointing: bool, shuffled: bool = False) -> TrainingOutcome:
        """Train the model in place on the marks, or on `shuffled` ones; see `preferences.train`."""
        recipe = self.recipe
        learned = self._preferences(dealt_anew(self.rows, recipe.seed)) if shuffled else self.preferences
        trainer = {"gradient_checkpointing": checkpointing, **recipe.trainer}
        settings = SftSettings(trainer, recipe.seed, shorter=recipe.shorter)
        return train(model, self.encoder, learned, settings, folder=folder)

    def scores(self, model: PeftModel, rows: Sequence[ExplanationRow]) -> dict[str, float]:
        """The current model's scores of explanations, by `key_of` each; what they begin with in common is read once."""
        if not rows:
            return {}
        pairs = [self._pair(row) for row in rows]
        distinct = list({pair.ids: pair for pair in pairs}.values())
        with reading(model), torch.inference_mode():
            read = dict(end_states(model, tree_runner(model), self.encoder, distinct))
            head = model.get_base_model().score
            states = torch.stack([read[pair.ids] for pair in pairs])
            values = head(states.to(next(head.parameters()).dtype))[:, 0].float().tolist()
        require_scores(values)
        return dict(zip(map(key_of, rows), values, strict=True))

    def save(self, model: PeftModel, folder: Path) -> None:
        """Write adapter, head and encoding, for use beside the adapter of a policy on the same causal model."""
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

    def _preferences(self, rows: Sequence[ExplanationRow]) -> list[Preference]:
        recipe = self.recipe
        pairs = comparisons(rows, least=recipe.least_difference, most=recipe.pairs_per_document, seed=recipe.seed)
        preferences = [
            Preference(self._pair(each.better).ids, self._pair(each.worse).ids, recipe.margin * each.difference)
            for each in pairs
        ]
        distinct = [each for each in preferences if each.chosen != each.rejected]
        most = recipe.encoding.max_explanation_tokens
        if preferences and not distinct:
            raise InputError(
                f"no two explanations of a document differ in their first {most} tokens, and the model reads no more; "
                "raise encoding.max_explanation_tokens"
            )
        if alike := len(preferences) - len(distinct):
            log.warning(
                "%d of %d pairs of explanations are alike in their first %d tokens (encoding.max_explanation_tokens), "
                "after which nothing is read; they are left out",
                alike,
                len(preferences),
                most,
            )
        return distinct

    def _pair(self, row: ExplanationRow) -> Pair:
        query, document = Query(row.query_id, row.query), Document(row.doc_id, row.document)
        return self.encoder.pair(query, document, row.explanation)
