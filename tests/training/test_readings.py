"""Whatever reads or samples from a policy does so without dropout, and leaves it in training mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import ForcedLabels, Sampling
from interank.engines.transformers import TransformersEngine
from interank.ledger import Ledger
from interank.rewards import Reward, RewardRecipe, WeightedReward
from interank.settings import LoraRecipe, PromptSettings
from interank.tasks.judge.answers import Answers
from interank.tasks.judge.hard_examples import shares_right
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.reading import ExplanationInput
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.judge.rollouts import Rollouts
from interank.tasks.judge.trial import AnswerTrial
from interank.training.adapters import fresh_adapter, save_adapter
from interank.training.grpo import prepare
from interank.training.objective import Objective
from tests.support import rule
from tests.support.grpo_training import trainer_at

EXAMPLES = rule.examples(0, queries=1, documents=4)
SAMPLING = Sampling(8, 1.0, 5)


class Read:
    """A policy with much dropout, loaded to be trained, and what it is read with."""

    def __init__(self, tiny_folder: Path, folder: Path) -> None:
        files = find_model(str(tiny_folder))
        made = fresh_adapter(load_model(files), LoraRecipe(rank=4, alpha=16, dropout=0.5), seed=0)
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        tokenizer = load_tokenizer(files)
        save_adapter(made, folder / "adapter", tokenizer=tokenizer, base=str(tiny_folder))
        self.model: Any = with_adapter(load_model(files), folder / "adapter", trainable=True)
        self.encoder = PromptEncoder(
            tokenizer, PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
        )
        self.folder = folder

    @property
    def engine(self) -> TransformersEngine:
        return TransformersEngine(self.model)

    @property
    def prompts(self) -> list[Any]:
        return [self.encoder.prompt(item.query, item.document, answer_tokens=12) for item in EXAMPLES]

    def rollouts(self) -> tuple[Rollouts, Any]:
        rollouts = Rollouts(self.encoder, EXAMPLES, tokens=12, seed=3, orders=["grade_first", "reason_first"] * 2)
        return rollouts, trainer_at(self.model)


def labels(read: Read) -> Any:
    return read.engine.label_logits(read.prompts, read.encoder.label_ids)


def completions(read: Read) -> Any:
    return read.engine.generate(read.prompts, SAMPLING, end=read.encoder.end)


def graded_completions(read: Read) -> Any:
    asked = ForcedLabels(lambda found: found.ids, read.encoder.label_ids)
    return read.engine.generate_graded(read.prompts, SAMPLING, asked, end=read.encoder.end)


def hard_examples(read: Read) -> Any:
    return [
        shares_right(read.engine, read.encoder, EXAMPLES, order, SAMPLING, 2)
        for order in ("grade_first", "reason_first")
    ]


def reward_weighted(read: Read) -> Any:
    recipe = RlJudge.model_validate(
        {
            "stage": "rl",
            "rewards": [{"use": "ranking"}],
            "algorithm": "reward_weighted",
            "reward_weighted": {"samples": 2},
            "max_completion_tokens": 12,
        }
    )
    file = read.folder / "samples.jsonl"
    file.unlink(missing_ok=True)
    Answers(read.encoder, EXAMPLES, recipe, "grade_first", read.folder).sample(read.engine)
    return Ledger(file).rows()


def rollouts(read: Read) -> Any:
    sampled, trainer = read.rollouts()
    return sampled(["0", "1", "2", "3"], trainer)


def deletion_test(read: Read) -> Any:
    faithfulness = Reward.from_recipe(RewardRecipe(use="faithfulness", params={"deletion": 1.0}))
    reader = ModelReader(read.model, read.encoder, tokens=12)
    return WeightedReward(faithfulness, tools={"reader": reader})(
        completions=[
            f'Relevance Label: 2\n\nIt says "{EXAMPLES[0].document.full_text[:-1]}", which is what was asked.'
        ],
        query=[EXAMPLES[0].query.text],
        document=[f"{EXAMPLES[0].document.full_text} It stays there for ever and a day."],
    )


def told_tokens(read: Read) -> Any:
    reader = ModelReader(read.model, read.encoder, tokens=12)
    texts = EXAMPLES[0].query.text, EXAMPLES[0].document.full_text
    return reader.tokens([ExplanationInput(*texts, 2, "A fox it is.")]), reader.led_to([(texts[0], "A fox it is.")])


def regrade(read: Read) -> Any:
    sampled, trainer = read.rollouts()
    sampled(["0"], trainer)
    return sampled.regrade([(EXAMPLES[0].query.text, "Nothing."), ("?", "A fox.")])


def trial(read: Read) -> Any:
    return AnswerTrial(read.encoder, EXAMPLES, order="grade_first", tokens=12, explained=2)(read.model)


def reasoned_trial(read: Read) -> Any:
    return AnswerTrial(read.encoder, EXAMPLES, order="reason_first", tokens=12, explained=2)(read.model)


READINGS: list[Callable[[Read], Any]] = [
    labels,
    completions,
    graded_completions,
    hard_examples,
    reward_weighted,
    rollouts,
    regrade,
    deletion_test,
    told_tokens,
    trial,
    reasoned_trial,
]


@pytest.fixture
def read(tiny_folder: Path, tmp_path: Path) -> Read:
    return Read(tiny_folder, tmp_path)


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.__name__)
@pytest.mark.parametrize("training", [False, True], ids=["loaded", "training"])
def test_two_readings_of_one_policy_are_equal(read: Read, reading: Callable[[Read], Any], training: bool) -> None:
    if training:
        read.model.train()
    before = [module.training for module in read.model.modules()]
    # Dropout would show: an adapter to be trained has it on, even where the model around it does not.
    assert any(before)
    assert reading(read) == reading(read)
    assert [module.training for module in read.model.modules()] == before


@pytest.mark.parametrize("shared", [True, False])
def test_old_and_reference_log_probabilities_are_read_without_dropout(read: Read, shared: bool, tmp_path: Path) -> None:
    sampled, _ = read.rollouts()
    settings = {"num_generations": 2, "per_device_train_batch_size": 4, "beta": 0.1, "gradient_checkpointing": False}
    objective = Objective([WeightedReward(len_of)])
    trainer = prepare(read.model, sampled, objective, trainer=settings, folder=tmp_path / "c", shared_prefix=shared)
    trainer.model.train()
    ids = torch.tensor([read.prompts[0].ids])
    with torch.no_grad():
        one, other = (
            trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 9)[0] for _ in range(2)
        )
    assert torch.equal(one, other)
    assert trainer.model.training
    # The loss is computed with it, as it is meant to be.
    some, more = (
        trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 9)[0] for _ in range(2)
    )
    assert not torch.equal(some, more)


def len_of(*, completion_ids: Any, **_: Any) -> list[float | None]:
    return [float(len(ids)) for ids in completion_ids]
