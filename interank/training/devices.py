"""The trainer arguments that every training sets itself: one device a process, its number format, folder and seed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from interank import distributed
from interank.errors import TrainingError
from interank.wording import listed

log = logging.getLogger(__name__)

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def configured(kind: Callable[..., Arguments], given: Mapping[str, Any]) -> Arguments:
    """A trainer's configuration.

    Raises:
        TrainingError: The library refuses a value, or a combination of values.
    """
    try:
        return kind(**given)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise TrainingError(
            f"trainer: {' '.join(str(error).split())[:400]}; change what the recipe sets there"
        ) from error


def owned(model: Any, *, folder: Path, seed: int) -> dict[str, Any]:
    """The fields of a trainer's configuration that no recipe sets, for a model that is trained in `folder`."""
    on_cpu = model.device.type == "cpu"
    return {
        "output_dir": str(folder),
        "seed": seed,
        "remove_unused_columns": False,
        "use_cpu": on_cpu,
        "bf16": not on_cpu or model.dtype == torch.bfloat16,
        # The filter would log a loss of NaN as the mean of the others.
        "logging_nan_inf_filter": False,
    }


def shared_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's fields with one process's step divided among all processes.

    Args:
        given: With `per_device_train_batch_size` and `gradient_accumulation_steps`, whose product is a step.

    Raises:
        TrainingError: A step cannot be divided into equal parts.
    """
    world, accumulated = distributed.world(), int(given["gradient_accumulation_steps"])
    if world == 1:
        return dict(given)
    if accumulated % world:
        size = int(given["per_device_train_batch_size"])
        below, above = accumulated // world * world, -(-accumulated // world) * world
        steps = listed([str(each * size) for each in (below, above) if each], last="or")
        fitting = [each for each in range(1, accumulated + 1) if accumulated % each == 0]
        raise TrainingError(
            f"a step of {accumulated * size} (trainer.per_device_train_batch_size {size} * "
            f"gradient_accumulation_steps {accumulated}) cannot be divided into equal parts of whole microbatches for "
            f"{world} processes; make it {steps}, or start {listed(fitting, last='or')} processes"
        )
    return {
        **given,
        "gradient_accumulation_steps": accumulated // world,
        # Every trained weight has a gradient in every microbatch, and no buffer changes.
        "ddp_find_unused_parameters": False,
        "ddp_broadcast_buffers": False,
        "gradient_checkpointing_kwargs": given.get("gradient_checkpointing_kwargs") or {"use_reentrant": False},
    }


def on_one_device(arguments: Arguments) -> Arguments:
    """The trainer's arguments, limited to the first GPU.

    Where several are visible, transformers' trainer would wrap the model in `DataParallel`, multiply the batch by their
    number, and call our trainers with a wrapped model.
    """
    if arguments.n_gpu > 1:
        log.info(
            "found %d GPUs; the training uses one, %s; set CUDA_VISIBLE_DEVICES to choose another",
            *(arguments.n_gpu, arguments.device),
        )
        arguments._n_gpu = 1
    return arguments
