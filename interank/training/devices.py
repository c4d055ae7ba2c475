"""One training takes one device, however many there are."""

from __future__ import annotations

import logging
from typing import TypeVar

from transformers import TrainingArguments

log = logging.getLogger(__name__)

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def on_one_device(arguments: Arguments) -> Arguments:
    """The trainer's arguments, by which it takes the first GPU alone.

    Where several are visible transformers' trainer would wrap the model for all of them (`DataParallel`), take so many
    times the batch, and hand our trainers a model that is no longer theirs.
    """
    if arguments.n_gpu > 1:
        log.info(
            "found %d GPUs; the training takes one, %s; CUDA_VISIBLE_DEVICES chooses another",
            *(arguments.n_gpu, arguments.device),
        )
        arguments._n_gpu = 1
    return arguments
