"""What a batch has to hold so that a loss or a reward which compares a query's documents sees them all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from interank.wording import listed

# Questions of a microbatch where `trainer:` does not say.
DISTILL_BATCH = 2
# What a GRPO batch holds where `trainer:` does not say.
RL_BATCH = {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 1, "num_generations": 8}
# TRL's other ways to say how many completions are sampled at a time.
_ROWS = ("generation_batch_size", "steps_per_generation")


def check_batches(trainer: Mapping[str, Any], documents: int, *, between: bool, in_order: bool) -> None:
    """Hold a recipe's batch to its queries.

    Args:
        trainer: The recipe's `trainer:`; what it leaves out is `RL_BATCH`'s.
        documents: So many prompts belong together: a query's documents, or 1 of lists.
        between: Whether a loss compares a query's documents in every microbatch (`grade.listwise`).
        in_order: Whether a batch is cut into microbatches in its own order; TRL shuffles it before.

    Raises:
        ValueError: A batch, or with `between` a microbatch, holds parts of queries; with the numbers that work.
    """
    if trainer.get("auto_find_batch_size"):
        raise ValueError(
            "trainer.auto_find_batch_size: true was found, but a batch that is halved where memory runs out no longer "
            "holds whole groups; leave it out and lower trainer.per_device_train_batch_size"
        )
    given = dict(RL_BATCH)
    given |= {key: value for key in (*RL_BATCH, *_ROWS) if isinstance(value := trainer.get(key), int)}
    size, generations = given["per_device_train_batch_size"], given["num_generations"]
    steps = given.get("steps_per_generation", given["gradient_accumulation_steps"])
    rows, group = given.get("generation_batch_size", size * steps), generations * documents
    if rows % group:
        counted = next((key for key in _ROWS if key in given), "gradient_accumulation_steps")
        made = counted if counted == _ROWS[0] else f"per_device_train_batch_size * {counted}"
        whole = (
            f"queries of {generations} (num_generations) * {documents} (documents_per_query) = {group}"
            if documents > 1
            else f"groups of {group} (num_generations)"
        )
        raise ValueError(
            f"a batch of {rows} completions ({made}) does not hold whole {whole}; make it a multiple of that"
        )
    if between and size % group:
        accumulated = max(1, size * given["gradient_accumulation_steps"] // group)
        raise ValueError(
            f"grade.listwise compares a query's documents within a microbatch, and one of {size} completions "
            f"(trainer.per_device_train_batch_size) holds no whole queries of {generations} (num_generations) * "
            f"{documents} (documents_per_query) = {group}; set per_device_train_batch_size to {group} and "
            f"gradient_accumulation_steps to {accumulated}, or lower num_generations or documents_per_query"
        )
    if between and not in_order and rows > size:
        raise ValueError(
            f"grade.listwise compares a query's documents within a microbatch, but shared_prefix: false has TRL "
            f"shuffle a batch of {rows} completions before it cuts it into microbatches of {size}; set shared_prefix: "
            f"true, or trainer.per_device_train_batch_size to {rows} and gradient_accumulation_steps to 1"
        )


def in_steps_of(given: Mapping[str, Any], rows: int, size: int) -> dict[str, Any]:
    """A recipe's keys, whose `questions_per_step` is written into `trainer` as microbatches of one process.

    Several processes share these out, so that the recipe says what a step learns from, and the launch who computes it.

    Args:
        given: The keys.
        rows: What a question takes of a batch.
        size: What a microbatch holds where `trainer` does not say.

    Raises:
        ValueError: A step is no number of whole microbatches, or `trainer` says another; with what works.
    """
    questions, trainer = given.get("questions_per_step"), given.get("trainer") or {}
    if not isinstance(questions, int) or not isinstance(trainer, Mapping):
        return dict(given)
    size = trainer.get("per_device_train_batch_size", size)
    if not isinstance(size, int) or size < 1 or questions < 1:
        return dict(given)
    whole, rest = divmod(questions * rows, size)
    if rest or not whole:
        step = size // math.gcd(size, rows)
        near = [str(each) for each in (questions // step * step, (questions // step + 1) * step) if each]
        raise ValueError(
            f"questions_per_step: {questions} are {questions * rows} rows, which are no whole microbatches of {size} "
            f"(trainer.per_device_train_batch_size); make it {listed(near, last='or')}, or lower "
            "per_device_train_batch_size"
        )
    said = trainer.get("gradient_accumulation_steps", whole)
    if said != whole:
        raise ValueError(
            f"questions_per_step: {questions} are {whole} microbatches of {size}, and "
            f"trainer.gradient_accumulation_steps says {said}; leave one of them out"
        )
    return {**given, "trainer": {**trainer, "gradient_accumulation_steps": whole}}
