"""Answers for reward-weighted refinement, sampled and rewarded in parts of whole queries that are stored on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interank import distributed, judging
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Engine, Sampling
from interank.engines.soundness import require_completions
from interank.judging import Order
from interank.judgments import by_question
from interank.ledger import Ledger
from interank.rewards import WeightedReward
from interank.tasks.judge.recipe import RlJudge
from interank.training.advantages import fill_missing
from interank.training.stored_parts import is_whole, kept, results, together
from interank.types import Example

_Sampled = list[list[list[int]]]
"""The ids of each pair's answers."""
_Part = tuple[Sequence[Example], _Sampled]
# Answers sampled and rewarded per call: enough to fill a server, few enough that a crash loses little.
_TOGETHER = 512
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class WeightedAnswer:
    """An answer to learn, as int32 token ids, and its weight in the loss; answers of a pair share one prompt."""

    prompt: np.ndarray[Any, np.dtype[np.int32]]
    answer: np.ndarray[Any, np.dtype[np.int32]]
    weight: float


class Answers:
    """The policy's sampled answers to each pair and their rewards; rewards see whole queries."""

    def __init__(
        self, encoder: PromptEncoder, examples: Sequence[Example], recipe: RlJudge, order: Order, work: Path
    ) -> None:
        """Cut the pairs into parts, whose samples and rewards are stored in `work`."""
        self.encoder, self.order, self.recipe = encoder, order, recipe.reward_weighted
        self.tokens, self.seed = recipe.max_completion_tokens, recipe.seed
        samples = self.recipe.samples
        parts = together(by_question(examples), lambda items: len(items) * samples, _TOGETHER)
        self.parts = [[item for items in part for item in items] for part in parts]
        self._samples, self._rewards = Ledger(work / "samples.jsonl"), Ledger(work / "rewards.jsonl")

    @property
    def sampled(self) -> bool:
        """True once every part has been sampled."""
        return distributed.from_first(lambda: is_whole(self._samples, self.parts))

    def sample(self, engine: Engine) -> None:
        """Sample the parts that are not on disk yet."""

        def sample_part(number: int, items: Sequence[Example]) -> _Sampled:
            before, seed = distributed.share(len(items))[0], self.seed * _SEED_STRIDE + number
            sampling = Sampling(
                self.tokens - len(self.encoder.label_lead),
                self.recipe.temperature,
                seed,
                before * self.recipe.samples,
                len(items) * self.recipe.samples,
            )
            return distributed.dealt(items, lambda own: self._answers(engine, own, sampling))

        for _ in kept(self._samples, self.parts, sample_part, what="sample", total=len(self.parts)):
            pass

    def _answers(self, engine: Engine, items: Sequence[Example], sampling: Sampling) -> _Sampled:
        """The token ids of each pair's answers."""
        encoder, samples = self.encoder, self.recipe.samples
        lead = encoder.label_lead if self.order == "grade_first" else ()
        begun = [self._prompt(item).then(lead) for item in items for _ in range(samples)]
        completions = engine.generate(begun, sampling, end=encoder.end)
        require_completions(completions)
        answers = [[*lead, *one.ids, *((encoder.end,) if one.finished else ())] for one in completions]
        return [answers[place * samples : (place + 1) * samples] for place in range(len(items))]

    def weighted(self, rewards: Sequence[WeightedReward]) -> Iterator[WeightedAnswer]:
        """The answers worth learning, sampled ones and the teacher's.

        Args:
            rewards: Called for the parts whose rewards are not on disk yet.
        """

        def reward_part(number: int, part: _Part) -> list[list[float | None]]:
            columns = self._columns(part)
            # Only the first process calls the rewards, so that they see whole queries and a judge is asked once.
            return distributed.from_first(lambda: [reward.by_itself(**columns) for reward in rewards])

        weights = torch.tensor([reward.weight for reward in rewards])
        total = len(self.parts)
        for (items, answers), values in kept(
            self._rewards, self._with_teachers(), reward_part, what="reward", total=total
        ):
            yield from self._weighed(items, answers, values, weights)

    def _with_teachers(self) -> Iterator[_Part]:
        """Each part's pairs with their answers, the teacher's last."""
        for items, own in zip(self.parts, results(self._samples), strict=True):
            yield (
                items,
                [
                    [*sampled, list(self.encoder.answer(item.judgment, reasoning_tokens=self.tokens, order=self.order))]
                    for item, sampled in zip(items, own, strict=True)
                ],
            )

    def _columns(self, part: _Part) -> dict[str, list[Any]]:
        """The columns that rewards get."""
        flat = [(item, self.encoder.text(ids)) for item, answers in zip(*part, strict=True) for ids in answers]
        return {
            "completions": [text for _, text in flat],
            "query_id": [item.query.query_id for item, _ in flat],
            "doc_id": [item.document.doc_id for item, _ in flat],
            "query": [item.query.text for item, _ in flat],
            "document": [item.document.full_text for item, _ in flat],
            "relevance": [int(item.judgment.relevance) for item, _ in flat],
            "order": [self.order] * len(flat),
            "probabilities": [_certain(text) for _, text in flat],
        }

    def _weighed(
        self, items: Sequence[Example], answers: _Sampled, values: Sequence[Sequence[float | None]], weights: Any
    ) -> Iterator[WeightedAnswer]:
        group = self.recipe.samples + 1
        known = torch.tensor([[torch.nan if v is None else v for v in by_reward] for by_reward in values]).T
        totals = (fill_missing(known, group).nan_to_num(nan=0.0) * weights).sum(1).view(-1, group)
        for item, own, shares in zip(items, answers, scaled_within(totals).tolist(), strict=True):
            prompt = np.array(self._prompt(item).ids, np.int32)
            for ids, share in zip(own, shares, strict=True):
                if share >= self.recipe.least and share > 0:
                    yield WeightedAnswer(prompt, np.array(ids, np.int32), share**self.recipe.power)

    def _prompt(self, item: Example) -> Prompt:
        return self.encoder.prompt(item.query, item.document, answer_tokens=self.tokens, order=self.order)


def scaled_within(totals: torch.Tensor) -> torch.Tensor:
    """Rewards of shape (pairs, answers), from 0 for a pair's lowest to 1 for its highest; 1 where all are equal."""
    low, high = totals.min(1, keepdim=True).values, totals.max(1, keepdim=True).values
    return torch.where(high > low, (totals - low) / (high - low).clamp(min=1e-9), torch.ones_like(totals))


def _certain(text: str) -> list[float]:
    """Grade probabilities for rewards: certain of the grade that was written, uniform where none can be read."""
    judgment = judging.parse(text)
    return [1 / 3] * 3 if judgment is None else [float(grade == judgment.relevance) for grade in range(3)]
