"""Scoring, writing and trials on paper: the engine that GPUs get, lent what a device of a given size has left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from interank.engines import budget
from interank.engines.drawing import Draw
from interank.engines.prompts import Prompt
from interank.engines.tree import attention
from tests.support.paper import Paper, no_masks

# Written to the same length from prompts that are so much longer: the peak is the same, and the test shorter.
WRITTEN = 3
PREFIX, FRAME = 1100, 40


@contextmanager
def lent(model: Any, limit: int, *, beside: int = 0) -> Iterator[Paper]:
    """What the engine does in here is counted; `beside` are bytes of the device's limit that others hold."""
    with pytest.MonkeyPatch.context() as patch, no_masks(), torch.no_grad(), Paper(model) as paper:
        # A fake tensor stands on the CPU; batches and draws are those of a GPU.
        patch.setitem(budget._MOST_TOKENS, "cpu", budget._MOST_TOKENS["cuda"])
        patch.delitem(budget._MOST_KEYS, "cpu")
        patch.setattr(attention, "_QUERIES", 2**20)
        patch.setattr(budget, "free_bytes", lambda _: limit - beside - paper.alive)
        patch.setattr(Draw, "_raced", Draw._inverted)
        patch.setattr(FakeTensor, "tolist", _numbers, raising=False)
        yield paper


def prompts_of(queries: int, documents: int, *, length: int, copies: int = 1) -> list[Prompt]:
    """Prompts of one length, each query's prefix shared by its documents; equal ones follow each other."""
    document = length - PREFIX - FRAME
    return [
        Prompt(tuple(range(10 + query, 10 + query + PREFIX)), tuple(range(n, n + document)), tuple(range(5, 5 + FRAME)))
        for query in range(queries)
        for n in range(20, 20 + documents)
        for _ in range(copies)
    ]


def _numbers(states: torch.Tensor) -> Any:
    """In place of fake numbers: tokens that end nothing, logits and probabilities of a half."""
    number: Any = 0.5 if states.is_floating_point() else 5
    for size in reversed(states.shape):
        number = [number] * size
    return number
