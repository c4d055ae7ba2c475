"""Checks that a batch holds whole queries, as losses and rewards that compare a query's documents need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from interank.wording import listed

# Questions of a microbatch where `trainer:` sets none.
DISTILL_BATCH = 2
# The sizes of a GRPO batch where `trainer:` sets none.
RL_BATCH = {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 1, "num_generations": 8}
# TRL's other keys for the number of completions sampled at a time.
_ROWS = ("generation_batch_size", "steps_per_generation")


def check_batches(trainer: Mapping[str, Any], documents: int, *, between: bool, in_order: bool) -> None:
    """Check that a recipe's batch holds whole queries.

    Args:
        trainer: The recipe's `trainer:`; `RL_BATCH` has the defaults.
        documents: The prompts of a query: its documents, or 1 for lists.
        between: Whether a loss compares a query's documents in every microbatch (`grade.listwise`).
        in_order: Whether microbatches are cut from a batch in its own order; TRL shuffles it first.

    Raises:
        ValueError: A batch, or with `between` a microbatch, splits a query; the message gives numbers that work.
    """
    if trainer.get("auto_find_batch_size"):
        raise ValueError(
            "trainer.auto_find_batch_size: true was found, but a batch that is halved when memory runs out no longer "
            "holds whole groups; leave it out and lower trainer.per_device_train_batch_size"
        )
    sizes = dict(RL_BATCH)
    sizes |= {key: value for key in (*RL_BATCH, *_ROWS) if isinstance(value := trainer.get(key), int)}
    size, generations = sizes["per_device_train_batch_size"], sizes["num_generations"]
    steps = sizes.get("steps_per_generation", sizes["gradient_accumulation_steps"])
    rows, group = sizes.get("generation_batch_size", size * steps), generations * documents
    if rows % group:
        counted = next((key for key in _ROWS if key in sizes), "gradient_accumulation_steps")
        product = counted if counted == _ROWS[0] else f"per_device_train_batch_size * {counted}"
        whole = (
            f"queries of {generations} (num_generations) * {documents} (documents_per_query) = {group}"
            if documents > 1
            else f"groups of {group} (num_generations)"
        )
        raise ValueError(
            f"a batch of {rows} completions ({product}) does not hold whole {whole}; make it a multiple of that"
        )
    if between and size % group:
        accumulated = max(1, size * sizes["gradient_accumulation_steps"] // group)
        raise ValueError(
            f"grade.listwise compares a query's documents within a microbatch, and one of {size} completions "
            f"(trainer.per_device_train_batch_size) holds no whole queries of {generations} (num_generations) * "
            f"{documents} (documents_per_query) = {group}; set per_device_train_batch_size to {group} and "
            f"gradient_accumulation_steps to {accumulated}, or lower num_generations or documents_per_query"
        )
    if between and not in_order and rows > size:
        raise ValueError(
            f"grade.listwise compares a query's documents within a microbatch, but with shared_prefix: false TRL "
            f"shuffles a batch of {rows} completions before cutting microbatches of {size}; set shared_prefix: "
            f"true, or trainer.per_device_train_batch_size to {rows} and gradient_accumulation_steps to 1"
        )


def in_steps_of(keys: Mapping[str, Any], rows: int, size: int) -> dict[str, Any]:
    """Return a recipe's keys with `questions_per_step` turned into `trainer.gradient_accumulation_steps`.

    The number is that of one process; several processes divide the microbatches among themselves. The recipe so
    decides what a step learns from, and the launch which process computes it.

    Args:
        keys: The recipe's keys.
        rows: The rows of a batch that a question takes.
        size: The rows of a microbatch where `trainer` sets none.

    Raises:
        ValueError: A step is no whole number of microbatches, or contradicts `trainer`; the message gives numbers
            that work.
    """
    questions, trainer = keys.get("questions_per_step"), keys.get("trainer") or {}
    if not isinstance(questions, int) or not isinstance(trainer, Mapping):
        return dict(keys)
    size = trainer.get("per_device_train_batch_size", size)
    if not isinstance(size, int) or size < 1 or questions < 1:
        return dict(keys)
    whole, rest = divmod(questions * rows, size)
    if rest or not whole:
        step = size // math.gcd(size, rows)
        near = [str(each) for each in (questions // step * step, (questions // step + 1) * step) if each]
        raise ValueError(
            f"questions_per_step: {questions} are {questions * rows} rows, which do not fill whole microbatches of "
            f"{size} (trainer.per_device_train_batch_size); make it {listed(near, last='or')}, or lower "
            "per_device_train_batch_size"
        )
    accumulation = trainer.get("gradient_accumulation_steps", whole)
    if accumulation != whole:
        raise ValueError(
            f"questions_per_step: {questions} are {whole} microbatches of {size}, and "
            f"trainer.gradient_accumulation_steps is {accumulation}; leave one of them out"
        )
    return {**keys, "trainer": {**trainer, "gradient_accumulation_steps": whole}}
