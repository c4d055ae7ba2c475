"""GRPO on an adapter by TRL's GRPOTrainer, with whole queries in a batch and rollouts by interank's own engine."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from trl import GRPOConfig, GRPOTrainer

from interank import judging
from interank.engines.judge import before_label, grade
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, Engine, Sampling
from interank.errors import TrainingError
from interank.progress import shown
from interank.recipe import RL_BATCH, RolloutsRecipe
from interank.training.checkpoints import accompany, last_complete
from interank.training.clock import summary
from interank.training.list_rollouts import ListRollouts
from interank.training.memory import fits
from interank.training.policy import PolicyTrainer, SharedPrefixTrainer
from interank.training.samplers import Sampler, TrainedWeights, sampled_rows, seed_at
from interank.types import Example

_DEFAULTS: dict[str, Any] = {
    "learning_rate": 1.0e-5,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    **RL_BATCH,
    "beta": 0.0,
    "temperature": 1.0,
    "logging_steps": 1,
    "save_steps": 10,
    "report_to": "none",
}


class Rollouts:
    """Generates completions for TRL from interank's own prompts, so that training reads what reranking will read.

    Grade-first answers begin with the forced words before the grade, which are masked out of the loss: the policy
    never chooses them when it is used either.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        examples: Sequence[Example],
        *,
        tokens: int,
        seed: int,
        sampler: Sampler | None = None,
        settings: RolloutsRecipe | None = None,
    ) -> None:
        """Prepare the prompts; the trained weights sample unless another sampler is given."""
        self.encoder = encoder
        self.sampler = sampler or TrainedWeights()
        self.settings = settings or RolloutsRecipe()
        self.tokens = tokens
        self.seed = seed
        self.prompts = [encoder.prompt(item.query, item.document, answer_tokens=tokens) for item in examples]
        self.examples = examples

    def columns(self) -> list[dict[str, Any]]:
        """The dataset's rows: each one's number for a prompt, and the columns that rewards are given."""
        return [
            {
                "prompt": str(number),
                "query_id": item.query.query_id,
                "doc_id": item.document.doc_id,
                "query": item.query.text,
                "document": item.document.full_text,
                "relevance": int(item.judgment.relevance),
            }
            for number, item in enumerate(self.examples)
        ]

    def __call__(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """TRL's rollout function: one completion for each row, in row order."""
        encoder = self.encoder
        chosen = [self.prompts[int(number)] for number in prompts]
        lead = encoder.label_lead if encoder.settings.order == "grade_first" else ()
        sampling = Sampling(self.tokens - len(lead), trainer.args.temperature, seed_at(self.seed, trainer))
        with self.sampler.engine(trainer) as engine:
            completions = engine.generate([prompt.then(lead) for prompt in chosen], sampling, end=encoder.end)
            probabilities = self._probabilities(engine, chosen, completions)
        return {**sampled_rows(chosen, lead, completions, end=encoder.end), "probabilities": probabilities}

    def _probabilities(
        self, engine: Engine, prompts: Sequence[Prompt], completions: Sequence[Completion]
    ) -> list[list[float]]:
        """The policy's three grade probabilities at the grade's position: one vector a prompt in grade-first order."""
        if self.encoder.settings.order == "grade_first":
            distinct = list(dict.fromkeys(prompts))
            read = dict(zip(distinct, grade(engine, self.encoder, distinct), strict=True))
            return [list(judging.probabilities(read[prompt].logits)) for prompt in prompts]
        own = [before_label(self.encoder, item) for item in completions]
        until = [
            prompt.then((*ids, *(self.encoder.gap if ids else ()))) for prompt, ids in zip(prompts, own, strict=True)
        ]
        return [list(judging.probabilities(item.logits)) for item in grade(engine, self.encoder, until)]


def whole_queries(examples: Sequence[Example], *, documents: int, seed: int) -> list[Example]:
    """Queries in seeded order, each with exactly `documents` of its documents and at least two of their grades.

    A batch that is cut at multiples of `documents` then holds whole queries; a query with one grade only has
    nothing to be ranked. The documents are spread over the grades as evenly as the query allows: where most are
    irrelevant, grading everything 0 would be rewarded.

    Raises:
        TrainingError: No query has so many documents of different grades.
    """
    by_query: dict[str, list[Example]] = {}
    for item in examples:
        by_query.setdefault(item.query.query_id, []).append(item)
    rng = random.Random(seed)
    groups = []
    for items in by_query.values():
        sample = _spread(items, documents, rng)
        if len(sample) == documents and len({item.judgment.relevance for item in sample}) > 1:
            groups.append(sample)
    if not groups:
        raise TrainingError(
            f"no training query has {documents} documents of at least two grades; lower documents_per_query, "
            "or generate judgments with more documents for each question"
        )
    rng.shuffle(groups)
    return [item for group in groups for item in group]


def _spread(items: Sequence[Example], number: int, rng: random.Random) -> list[Example]:
    """So many of a query's examples, drawn from its grades in turn, in their own order."""
    by_grade: dict[int, list[int]] = {}
    for place in rng.sample(range(len(items)), len(items)):
        by_grade.setdefault(int(items[place].judgment.relevance), []).append(place)
    turns = zip_longest(*(by_grade[grade] for grade in sorted(by_grade, reverse=True)))
    drawn = [place for turn in turns for place in turn if place is not None]
    return [items[place] for place in sorted(drawn[:number])]


def _microbatch_tokens(rollouts: Rollouts | ListRollouts, trainer: Mapping[str, Any]) -> int:
    """At most so many tokens are computed in one microbatch, each prompt once."""
    rows = trainer["per_device_train_batch_size"]
    prompts = max(1, rows // trainer["num_generations"])
    longest = max(len(prompt.ids) for prompt in rollouts.prompts)
    return int(prompts * longest + rows * rollouts.tokens)


def train(
    model: PeftModel,
    rollouts: Rollouts | ListRollouts,
    rewards: Sequence[Callable[..., list[float | None]]],
    weights: Sequence[float],
    *,
    trainer: Mapping[str, Any],
    folder: Path,
    shared_prefix: bool = True,
) -> Mapping[str, float]:
    """Train the model's adapter in place, from the last complete checkpoint in `folder` if there is one.

    Returns:
        The trainer's closing figures: loss, seconds, steps, and what share of a step each part took.
    """
    folder.mkdir(exist_ok=True)
    given = {**_DEFAULTS, **dict(trainer)}
    if shared_prefix:
        given.setdefault("gradient_checkpointing", not fits(model, _microbatch_tokens(rollouts, given)))
    config = GRPOConfig(
        **{
            **given,
            "output_dir": str(folder),
            "seed": rollouts.seed,
            "max_completion_length": rollouts.tokens,
            "reward_weights": list(weights),
            "shuffle_dataset": False,
            "use_cpu": model.device.type == "cpu",
            "bf16": model.device.type != "cpu",
        }
    )
    prompts = config.generation_batch_size // config.num_generations
    if len(rollouts.examples) < prompts:
        raise TrainingError(
            f"one batch takes {prompts} pairs, but only {len(rollouts.examples)} fit for training; lower "
            "trainer.per_device_train_batch_size, or generate judgments for more questions"
        )
    kind = SharedPrefixTrainer if shared_prefix else PolicyTrainer
    with warnings.catch_warnings():
        # TRL marks rollout_func as experimental; the constraints pin the version it was tested with.
        warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
        grpo = kind(
            model=model,
            args=config,
            reward_funcs=list(rewards),
            train_dataset=Dataset.from_list(rollouts.columns()),
            processing_class=rollouts.encoder.tokenizer,
            rollout_func=rollouts,
            rollouts=rollouts.settings,
        )
    accompany(grpo, folder.parent / "log.jsonl", bar=shown())
    checkpoint = last_complete(folder)
    outcome = grpo.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return {**outcome.metrics, **summary(grpo.state.log_history), "steps": outcome.global_step}
