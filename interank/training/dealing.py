"""Divides a training's microbatches among processes in turn; a process may get an empty one at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import DataLoaderShard, SeedableRandomSampler
from torch.utils.data import DataLoader

from interank import distributed
from interank.errors import TrainingError


class InTurn:
    """This process's share of the microbatches that a single process would have, in the same steps.

    Where the last ones do not suffice for all processes, the others get empty ones. accelerate would repeat rows from
    the beginning, which would change the step's mean.
    """

    def __init__(self, batches: Any, number: int, world: int) -> None:
        self.batches, self.number, self.world = batches, number, world

    @property
    def sampler(self) -> Any:
        """The sampler of the rows' order, which accelerate reads."""
        return self.batches.sampler

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which seeds the rows' order."""
        if hasattr(self.batches.sampler, "set_epoch"):
            self.batches.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.batches) // self.world)

    def __iter__(self) -> Iterator[Sequence[int]]:
        own: Sequence[int] = []
        place = -1
        for place, batch in enumerate(self.batches):
            if place % self.world == self.number:
                own = batch
            if place % self.world == self.world - 1:
                yield own
                own = []
        if place % self.world != self.world - 1:
            yield own


def shared(loader: Any) -> Any:
    """A trainer's loader, as accelerate prepared it, limited to this process's share of the training rows.

    Raises:
        TrainingError: The order of rows is not drawn by a seed that all processes have.
    """
    if distributed.world() == 1:
        return loader
    batches = loader.batch_sampler
    while not isinstance(batches, torch.utils.data.BatchSampler) or hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    if not isinstance(loader, DataLoader) or not isinstance(batches.sampler, SeedableRandomSampler):
        raise TrainingError(
            f"{distributed.world()} processes take rows in turn, in an order drawn by the recipe's seed, and "
            f"{type(batches.sampler).__name__} draws them; leave trainer.train_sampling_strategy out"
        )
    return DataLoaderShard(
        loader.dataset,
        batch_sampler=InTurn(batches, distributed.rank(), distributed.world()),
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
    )


def with_parts(batches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A step's microbatches with their `part`, the factor of a microbatch's mean in the mean over all processes.

    Args:
        batches: This process's microbatches, with `part` 0 for empty ones and 1 for others.
    """
    if distributed.world() == 1:
        return list(batches)
    [whole] = distributed.added([sum(batch["part"] for batch in batches)])
    # Gradients are averaged over processes, and each divides by the number of its own microbatches.
    part = distributed.world() * len(batches) / whole
    return [{**batch, "part": part * batch["part"]} for batch in batches]
