"""How several processes share a training's rows out: each takes microbatches in turn, and one may have nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import DataLoaderShard, SeedableRandomSampler
from torch.utils.data import DataLoader

from interank import distributed
from interank.errors import TrainingError


class InTurn:
    """One process's microbatches of those that one process alone would have, in the same steps.

    Where the last ones do not go round, those who come after get empty ones. accelerate would give them rows of the
    beginning again, and with these the step's mean would be another.
    """

    def __init__(self, batches: Any, number: int, world: int) -> None:
        self.batches, self.number, self.world = batches, number, world

    @property
    def sampler(self) -> Any:
        """What gives the rows' order; accelerate asks for it."""
        return self.batches.sampler

    def set_epoch(self, epoch: int) -> None:
        """Have the order of an epoch."""
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
    """A trainer's loader of training rows, as accelerate prepared it, for this process alone or one of several.

    Raises:
        TrainingError: Rows are drawn otherwise than by a seed that all know.
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
    """A step's microbatches, each told by `part` how its mean is multiplied so that the step's is of all processes.

    Args:
        batches: This process's; `part` is 0 of those that are empty, else 1.
    """
    if distributed.world() == 1:
        return list(batches)
    [whole] = distributed.added([sum(batch["part"] for batch in batches)])
    # Gradients are averaged over processes, and each divides by the number of its own microbatches.
    part = distributed.world() * len(batches) / whole
    return [{**batch, "part": part * batch["part"]} for batch in batches]
