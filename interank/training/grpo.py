"""GRPO of an adapter by TRL's GRPOTrainer, with whole queries in a batch and rollouts by interank's own engine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from trl import GRPOConfig

from interank import distributed
from interank.engines.layers import allowed, refuse_read_otherwise
from interank.errors import TrainingError
from interank.progress import shown
from interank.settings.batches import RL_BATCH
from interank.training.checkpoints import accompany, run_to_end
from interank.training.clock import summary
from interank.training.devices import configured, on_one_device, owned, shared_out
from interank.training.memory import Microbatch, fits
from interank.training.objective import Objective
from interank.training.policy import PolicyTrainer, SharedPrefixTrainer
from interank.training.rollouts import PolicyRollouts
from interank.types import GRADES

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


def _microbatch(rollouts: PolicyRollouts, trainer: Mapping[str, Any], *, planted: bool) -> Microbatch:
    """Upper bounds of a microbatch. In a tree a prompt's tokens count once, its keys and values once a completion."""
    rows = trainer["per_device_train_batch_size"]
    prompts = max(1, rows // trainer["num_generations"]) if planted else rows
    longest = max(len(prompt.ids) for prompt in rollouts.prompts)
    # If the loss sums over grades, each grade adds one short completion, padded to the length of the others.
    leaves = rows + len(GRADES) * prompts
    keys = prompts * longest + leaves * (longest + rollouts.tokens)
    return Microbatch(prompts * longest + rows * rollouts.tokens, keys, rows * rollouts.tokens)


def prepare(
    model: PeftModel,
    rollouts: PolicyRollouts,
    objective: Objective,
    *,
    trainer: Mapping[str, Any],
    folder: Path,
    shared_prefix: bool = True,
) -> PolicyTrainer:
    """The trainer of a policy, with its checkpoints in `folder` and its log beside `folder`.

    Raises:
        TrainingError: There are fewer pairs than a batch takes, or texts may get too long for the model.
    """
    fields = shared_out({**_DEFAULTS, **dict(trainer)})
    _check_whole_queries(fields, objective.documents)
    if shared_prefix:
        microbatch = _microbatch(rollouts, fields, planted=allowed(model.config).tree)
        fields.setdefault("gradient_checkpointing", not fits(model, microbatch))
    config = configured(
        GRPOConfig,
        {
            **fields,
            **owned(model, folder=folder, seed=rollouts.seed),
            "max_completion_length": rollouts.tokens,
            "reward_weights": [reward.weight for reward in objective.rewards],
            "shuffle_dataset": False,
        },
    )
    prompts = config.generation_batch_size // config.num_generations
    if len(rollouts.prompts) < prompts:
        raise TrainingError(
            f"one batch takes {prompts} pairs, and there are only {len(rollouts.prompts)} to train on; lower "
            "trainer.per_device_train_batch_size, or generate judgments for more questions"
        )
    refuse_read_otherwise(model.config, max(len(prompt.ids) for prompt in rollouts.prompts) + rollouts.tokens)
    kind = SharedPrefixTrainer if shared_prefix else PolicyTrainer
    with warnings.catch_warnings():
        # TRL marks rollout_func as experimental; the constraints pin the version it was tested with.
        warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
        policy_trainer = kind(
            model=model,
            args=on_one_device(config),
            reward_funcs=list(objective.rewards),
            train_dataset=Dataset.from_list(rollouts.columns()),
            processing_class=rollouts.encoder.tokenizer,
            rollout_func=rollouts,
            rollout_settings=rollouts.settings,
            objective=objective,
        )
    policy_trainer.recorded = rollouts.recorded
    accompany(policy_trainer, folder.parent / "log.jsonl", bar=shown())
    return policy_trainer


def _check_whole_queries(given: Mapping[str, Any], documents: int) -> None:
    """Require whole queries in each process's part of a batch.

    Raises:
        TrainingError: A process would get a part of a query or completions of another step, or a setting compares
            the completions of a whole batch.
    """
    world, size, steps = (
        distributed.world(),
        int(given["per_device_train_batch_size"]),
        int(given["gradient_accumulation_steps"]),
    )
    if world == 1:
        return
    if other := [name for name in ("generation_batch_size", "steps_per_generation") if given.get(name) is not None]:
        raise TrainingError(
            f"trainer.{other[0]} is set, and several processes cannot sample the completions of several steps at once; "
            "leave it out, or train in one process"
        )
    if given.get("scale_rewards") == "batch" or given.get("multi_objective_aggregation") == "normalize_then_sum":
        raise TrainingError(
            "trainer.scale_rewards: batch and trainer.multi_objective_aggregation: normalize_then_sum compare the "
            "completions of a whole batch, of which each process has a part; take scale_rewards: group, or train "
            "in one process"
        )
    group = int(given["num_generations"]) * documents
    if size * steps % group:
        raise TrainingError(
            f"each of {world} processes would have {size * steps} completions of a step, which is no multiple of a "
            f"query's {group} (num_generations * documents_per_query); set trainer.gradient_accumulation_steps to a "
            f"multiple of {world * group // math.gcd(size, group)}, or start fewer processes"
        )


def run(trainer: PolicyTrainer, checkpoint: Path | None) -> Mapping[str, float]:
    """Train the adapter in place, from a checkpoint if one is given.

    Returns:
        The trainer's closing figures: loss, seconds, steps, and the shares of a step's time that rollout, reward,
        update and sync take.
    """
    return {**run_to_end(trainer, checkpoint), **summary(trainer.state.log_history)}
