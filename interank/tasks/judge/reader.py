"""The frozen reader for rewards and evaluation: an adapter that training does not change, on a loaded base."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from peft import PeftModel

from interank import judging
from interank.engines.judge import grade
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.soundness import require_labels
from interank.engines.transformers import TransformersEngine, reading
from interank.engines.tree.attention import hidden_states, let_follow_trees
from interank.engines.tree.prefix_tree import PrefixTree, plant_sequences
from interank.judging import Order
from interank.tasks.judge.reading import HIDDEN, ExplanationInput, Probabilities, Token
from interank.training.fused_head import FusedHead
from interank.training.padded_rows import pad
from interank.training.reference import by_adapter
from interank.training.shared_prefix import plants
from interank.types import Document, Query

# The most tokens of prompts and explanations per forward pass; a tree computes a shared prompt once.
_TOGETHER = 16_384


class ModelReader:
    """See `Reader`: reads with an adapter of a loaded model, whatever else is trained on its base."""

    def __init__(self, model: Any, encoder: PromptEncoder, *, tokens: int, adapter: str | None = None) -> None:
        """Take the model and the adapter that reads.

        Args:
            model: A causal language model, with or without adapters.
            encoder: Makes the ids.
            tokens: The token budget of an explanation; longer ones are cut.
            adapter: The model's adapter that reads; None is the active one.
        """
        self._model, self._encoder, self._tokens, self._adapter = model, encoder, tokens, adapter
        self._base = model.get_base_model() if isinstance(model, PeftModel) else model
        self._planted = plants(self._base, wanted=True)
        if self._planted:
            let_follow_trees(self._base)
        # The rewards of a batch read the same pairs, one reward after the other.
        self._graded: dict[tuple[str, str], Probabilities] = {}
        self._head = FusedHead(self._base, temperature=1.0, cast_lm_head_to_fp32=False)

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """See `Reader`; the pairs of the last call are cached."""
        unread = [pair for pair in dict.fromkeys(pairs) if pair not in self._graded]
        prompts = [self._prompt(query, document, "grade_first") for query, document in unread]
        with self._as_reader():
            labels = grade(TransformersEngine(self._model), self._encoder, prompts) if prompts else []
        known = {pair: self._graded[pair] for pair in pairs if pair in self._graded}
        known |= {pair: judging.probabilities(read.logits) for pair, read in zip(unread, labels, strict=True)}
        self._graded = known
        return [known[pair] for pair in pairs]

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """See `Reader`; the explanation begins a reason-first answer, whose grade is read."""
        encoder = self._encoder
        prompts = []
        for query, explanation in explained:
            own = encoder.plain(explanation)[: self._tokens]
            begun = (*own, *(encoder.gap if own else ()), *encoder.label_lead)
            prompts.append(self._prompt(query, HIDDEN, "reason_first").then(begun))
        if not prompts:
            return []
        with self._as_reader():
            labels = TransformersEngine(self._model).label_logits(prompts, encoder.label_ids)
        require_labels(labels)
        return [judging.probabilities(read.logits) for read in labels]

    def tokens(self, explanations: Sequence[ExplanationInput]) -> list[list[Token]]:
        """See `Reader`; explanations of one prompt are read together, since they share its computation."""
        order = sorted(range(len(explanations)), key=lambda place: explanations[place][:3])
        read: dict[int, list[Token]] = {}
        part: list[tuple[int, Prompt, tuple[int, ...]]] = []
        size = 0
        for place in order:
            prompt, own = (
                self._begun(explanations[place]),
                self._encoder.plain(explanations[place].explanation)[: self._tokens],
            )
            length = len(prompt.ids) + len(own)
            if part and size + length > _TOGETHER:
                read |= self._read(part)
                part, size = [], 0
            part.append((place, prompt, own))
            size += length
        read |= self._read(part)
        return [read[place] for place in range(len(explanations))]

    def _read(self, part: Sequence[tuple[int, Prompt, tuple[int, ...]]]) -> dict[int, list[Token]]:
        """The tokens of these explanations, by place."""
        tokens: dict[int, list[Token]] = {place: [] for place, _, own in part if not own}
        rows = [(place, prompt.ids, own) for place, prompt, own in part if own]
        if not rows:
            return tokens
        width, device = max(len(own) for *_, own in rows), self._model.device
        pairs = [(prompt, own) for _, prompt, own in rows]
        with self._as_reader(), reading(self._model), torch.no_grad():
            if self._planted:
                tree = plant_sequences(pairs, width, device)
                hidden, labels, predictions = self._hidden(tree), tree.labels, tree.predictions
            else:
                padded = pad(pairs, width, device)
                whole = self._base.base_model(input_ids=padded.ids, attention_mask=padded.mask, use_cache=False)
                hidden, labels, predictions = (
                    whole.last_hidden_state.flatten(0, 1)[padded.scored][None],
                    padded.labels,
                    padded.predictions,
                )
            log_probs = self._head(hidden, labels[None]).log_probs[0]
        for (place, _, own), at in zip(rows, predictions.tolist(), strict=True):
            ends = [len(self._encoder.text(own[:number])) for number in range(len(own) + 1)]
            values = log_probs[torch.tensor(at[: len(own)], device=log_probs.device)].tolist()
            tokens[place] = [
                Token(start, end, value) for start, end, value in zip(ends[:-1], ends[1:], values, strict=True)
            ]
        return tokens

    def _hidden(self, tree: PrefixTree) -> torch.Tensor:
        """The states that predict the tree's labels, (1, labels, width)."""
        states: torch.Tensor = hidden_states(self._base, tree)[:, tree.scored]
        return states

    def _begun(self, explanation: ExplanationInput) -> Prompt:
        """The prompt with the forced words before the explanation."""
        encoder = self._encoder
        prompt = self._prompt(explanation.query, explanation.document, explanation.order)
        if explanation.order == "reason_first":
            return prompt
        return prompt.then((*encoder.label_lead, encoder.label_ids[explanation.relevance], *encoder.gap))

    def _prompt(self, query: str, document: str, order: Order) -> Prompt:
        return self._encoder.prompt(Query("", query), Document("", document), answer_tokens=self._tokens, order=order)

    def _as_reader(self) -> Any:
        return nullcontext() if self._adapter is None else by_adapter(self._model, self._adapter)
