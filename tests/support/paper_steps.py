"""One step of a recipe's training on paper, through the very functions that the stages call."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Completion, LabelLogits, Sampling
from interank.engines.work import Work
from interank.judgments import by_question
from interank.rewards import Reward
from interank.tasks.judge import grpo
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.tasks.judge.rows import training_groups
from interank.training import sft
from interank.training.rows import Group
from interank.types import Document, Example, Judgment, Query, Relevance, Source
from tests.support.paper import Paper, no_masks
from tests.support.tiny import tiny_tokenizer

# Written out, as no hub is asked: the configurations of Llama-3.2-3B and -1B, and a tiny one of their make.
SHAPES: dict[str, dict[str, Any]] = {
    "3b": {
        "vocab_size": 128256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_theta": 500000.0,
    },
    "1b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "rope_theta": 500000.0,
    },
    "tiny": {
        "vocab_size": 900,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
# In letters, of which each is about a token: more than a prompt has room for.
LONGEST = {"query": 2000, "document": 5000, "explanation": 300}
_SOURCE = Source("paper", "0", "", "", "")
# A first microbatch leaves gradients, the second meets them; more are like the second.
_ONE_STEP = {"max_steps": 1, "gradient_accumulation_steps": 2, "save_strategy": "no", "report_to": "none"}


@dataclass(frozen=True, slots=True)
class Step:
    """What tensors take at the peak of a step that is not the first, and the operations of one microbatch."""

    peak: int
    operations: int


def encoder_of(recipe: DistillJudge) -> PromptEncoder:
    """The recipe's prompts in the ids of a small tokenizer of Llama 3's make, which cuts words into more tokens."""
    return PromptEncoder(tiny_tokenizer("llama3"), recipe.prompt)


def judged(lengths: Mapping[str, int], *, queries: int, documents: int) -> list[Example]:
    """Examples of random letters, which share nothing by chance; `lengths` are of query, document and explanation."""
    rng = random.Random(0)

    def text(words: int) -> str:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=words))

    return [
        Example(
            query,
            Document(f"{query.query_id}-{place}", text(lengths["document"])),
            Judgment(text(lengths["explanation"]), Relevance(place % 3)),
            None,
            "train",
            _SOURCE,
        )
        for query in (Query(f"q{number}", text(lengths["query"])) for number in range(queries))
        for place in range(documents)
    ]


def groups_of(recipe: DistillJudge, encoder: PromptEncoder, examples: Sequence[Example]) -> list[Group]:
    """As `distill` makes them."""
    questions, documents = by_question(examples), recipe.documents_per_group
    return list(training_groups(encoder, questions, recipe.practised, documents=documents, seed=recipe.seed))


def distilled(
    model: PeftModel, groups: Sequence[Group], recipe: DistillJudge, folder: Path, *, checkpointing: bool
) -> Step:
    """A step of `interank distill`, on the first groups."""
    number = recipe.trainer.get("per_device_train_batch_size", sft.DEFAULTS["per_device_train_batch_size"])
    short = recipe.model_copy(update={"trainer": {**recipe.trainer, **_ONE_STEP}})
    taught = (list(groups) * 2 * number)[: 2 * number]
    with no_masks(), Paper(model) as paper:
        sft.train(model, encoder_of(recipe), taught, short, folder=folder, checkpointing=checkpointing)
    return Step(paper.peak + states(model), paper.operations // 2)


class Given:
    """In place of a sampler: answers of the longest length, all different, and grades that are equally likely."""

    device = "cpu"
    abilities: frozenset[Ability] = frozenset({"token_ids", "label_logits"})

    def __init__(self) -> None:
        self.work, self._rng = Work(), random.Random(0)

    def flops(self, work: Work) -> float | None:
        return None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        number = sampling.max_new_tokens
        # Of a small tokenizer's words.
        ids = [tuple(self._rng.choices(range(300, 800), k=number)) for _ in prompts]
        return [Completion(own, (-1.0,) * number, finished=False) for own in ids]

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        return [LabelLogits((0.0, 0.0, 0.0), 1.0)] * len(prompts)

    @contextmanager
    def engine(self, trainer: Any) -> Iterator[Given]:
        yield self

    @contextmanager
    def engine_of(self, model: Any) -> Iterator[Given]:
        yield self


def updated(model: PeftModel, encoder: PromptEncoder, recipe: RlJudge, folder: Path) -> Step:
    """A step of `interank rl` with one microbatch, as TRL's trainer runs it with the recipe's rewards and `beta`.

    Counted are the reference's passes, the check of the rollouts and the update. What samples is replaced by `Given`,
    and no trial is made.
    """
    rows = recipe.trainer["per_device_train_batch_size"]
    questions = rows // (recipe.documents_per_query * recipe.trainer["num_generations"])
    once = {**recipe.trainer, **_ONE_STEP, "gradient_accumulation_steps": 1}
    short = recipe.model_copy(update={"trainer": once})
    examples = judged(LONGEST, queries=questions, documents=recipe.documents_per_query)
    taught = grpo.training_queries(short, (examples, []), 0.0)
    rewards = [Reward.from_recipe(entry).equipped() for entry in recipe.rewards]
    folder.mkdir()
    with no_masks(), Paper(model) as paper:
        grpo.train(model, encoder, taught, rewards, short, Given(), folder)
    return Step(paper.peak + states(model) + gradients(model), paper.operations)


def states(model: torch.nn.Module) -> int:
    """Adam's, which the first step makes at its end and all others hold from the beginning."""
    return 2 * sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)


def gradients(model: torch.nn.Module) -> int:
    """Those that a microbatch meets which is not the first."""
    return sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
