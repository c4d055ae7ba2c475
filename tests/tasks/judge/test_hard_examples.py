"""Hard pairs are found by the recipe's sampler, on a sample of the questions, and what was rated is not rated again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.errors import ModelError
from interank.judging import Order
from interank.settings import LoraRecipe, PromptSettings
from interank.tasks.judge import hard_examples
from interank.tasks.judge.hard_examples import Hard, find_hard, sampled_questions
from interank.tasks.judge.recipe import RlJudge
from interank.training.adapters import fresh_adapter
from tests.support import rule

EXAMPLES = rule.examples(0, queries=8, documents=4)


class Counted(TransformersEngine):
    """Counts the prompts that it is asked, and fails when it was asked too often."""

    def __init__(self, model: Any, most: int = 10**9) -> None:
        super().__init__(model)
        self.asked, self.most, self.within = 0, most, False

    def _count(self, prompts: Sequence[Any]) -> None:
        if self.asked + len(prompts) > self.most:
            raise ModelError("killed")
        self.asked += len(prompts)

    def label_logits(self, prompts: Sequence[Any], labels: Sequence[int]) -> Any:
        if not self.within:
            self._count(prompts)
        return super().label_logits(prompts, labels)

    def generate_graded(self, prompts: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        self._count(prompts)
        # Where the model rereads, it asks itself for the labels.
        self.within = True
        try:
            return super().generate_graded(prompts, *args, **kwargs)
        finally:
            self.within = False


def recipe_of(**hard: Any) -> RlJudge:
    return RlJudge.model_validate(
        {
            "stage": "rl",
            "rewards": [{"use": "ranking"}],
            "max_completion_tokens": 14,
            "documents_per_query": 4,
            "hard_examples": {"least": 1 / 3, "most": 0.9, "samples": 4, **hard},
        }
    )


@pytest.fixture(scope="module")
def policy(tiny_folder: Path) -> tuple[Any, PromptEncoder]:
    files = find_model(str(tiny_folder))
    model = fresh_adapter(load_model(files), LoraRecipe(rank=4, alpha=8), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    prompt = PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    return model, PromptEncoder(load_tokenizer(files), prompt)


def test_the_sample_is_of_questions_that_training_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    few = rule.examples(3, queries=4, documents=3)
    alike = [item for item in rule.examples(5, queries=2) if int(item.judgment.relevance) == 0]
    whole = sampled_questions([*few, *EXAMPLES, *alike], 4, None, 1)
    assert [item for items in whole for item in items] == EXAMPLES
    some = sampled_questions(EXAMPLES, 4, 3, 1)
    assert some == sampled_questions(EXAMPLES, 4, 3, 1) != sampled_questions(EXAMPLES, 4, 3, 2)
    assert len(some) == 3
    assert [whole.index(items) for items in some] == sorted(whole.index(items) for items in some)


@pytest.mark.parametrize(("order", "each"), [("grade_first", 1), ("reason_first", 4)])
def test_a_capped_sample_is_rated_and_a_resumed_rating_asks_nothing_twice(
    policy: tuple[Any, PromptEncoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Order, each: int
) -> None:
    model, encoder = policy
    # Parts of one question.
    monkeypatch.setattr(hard_examples, "_TOGETHER", 4 * each)

    def found(engine: Counted, file: str) -> Hard:
        return find_hard(engine, encoder, EXAMPLES, recipe_of(questions=6), order, tmp_path / file)

    unbroken = Counted(model)
    whole = found(unbroken, "whole")
    assert unbroken.asked == 6 * 4 * each
    assert whole.counts == {"rated_questions": 6, "rated_pairs": 24, "hard_pairs": len(whole.pairs)}
    # Else there is nothing to tell hard and easy apart by.
    assert 0 < len(whole.pairs) < 24
    broken = Counted(model, most=4 * 4 * each)
    with pytest.raises(ModelError):
        found(broken, "broken")
    # As if it had been killed while it wrote.
    with (tmp_path / "broken").open("ab") as stream:
        stream.write(b'{"part": 4, "fo')
    resumed = Counted(model)
    assert found(resumed, "broken") == whole
    assert (broken.asked, resumed.asked) == (4 * 4 * each, 2 * 4 * each)
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()
