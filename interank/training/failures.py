"""Turns a full disk or exhausted memory during training into an error that says what to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from interank import machine
from interank.errors import TrainingError
from interank.training.checkpoints import last_complete


@contextmanager
def explained(folder: Path, shorter: Sequence[str] = ()) -> Iterator[None]:
    """Turn a full disk or exhausted memory into a `TrainingError`.

    Args:
        folder: The folder of checkpoints.
        shorter: The recipe's keys that make a step smaller.

    Raises:
        TrainingError: The disk is full, or memory does not suffice; in place of the library's error.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError, MemoryError) as error:
        fault = machine.fault(error)
        if fault is not None and fault.kind in ("full", "quota"):
            raise TrainingError(
                f"the disk that holds {folder} is full; {_kept(folder)}. Free some space, or set a larger "
                "trainer.save_steps, and go on with --resume"
            ) from error
        if fault is not None and fault.kind == "memory":
            raise TrainingError(
                f"there is not enough memory; {_kept(folder)}. L{lower(shorter)[1:]}, or set "
                "trainer.gradient_checkpointing: true or quantisation: nf4"
            ) from error
        raise


def lower(shorter: Sequence[str]) -> str:
    """Advice on what to lower where a step takes too much memory; `shorter` are the recipe's own keys."""
    batch = "lower trainer.per_device_train_batch_size (and raise trainer.gradient_accumulation_steps as much)"
    return ", or ".join([batch, *([" or ".join(shorter)] if shorter else [])])


def _kept(folder: Path) -> str:
    checkpoint = last_complete(folder)
    return (
        f"the last complete checkpoint is kept ({checkpoint.name})" if checkpoint else "no checkpoint was written yet"
    )
