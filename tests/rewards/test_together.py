"""What compares the completions of a batch gives several processes, each with a part of it, what it gives one."""

from __future__ import annotations

import os
import socket
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any

import pytest

from interank import distributed
from interank.rewards import Reward
from interank.settings import RewardRecipe
from tests.support.attack_world import ExactReader, honest_paraphrase, honest_quote, pairs

WORLD = 2


class Counting(ExactReader):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def led_to(self, explained: Any) -> Any:
        self.asked += len(explained)
        return super().led_to(explained)


def columns(part: slice) -> dict[str, list[Any]]:
    """Two questions' documents, two completions each; a process has one question's."""
    rows = [(pair, say) for pair in pairs(2) for say in (honest_quote, honest_paraphrase)][part]
    names = ("query_id", "doc_id", "query", "document", "relevance")
    told = [f"Relevance Label: {pair.relevance}\n\n{say(pair)}" for pair, say in rows]
    return {"completions": told, **{name: [getattr(pair, name) for pair, _ in rows] for name in names}}


def valued(part: slice) -> tuple[list[float | None], int]:
    """What stance gives a part of the batch, and how many texts were read for it."""
    reader = Counting()
    reward = Reward.from_recipe(RewardRecipe(use="stance")).equipped(reader=reader)
    return reward(**columns(part)), reader.asked


def work(rank: int, port: int, found: Queue[Any]) -> None:
    """One of several processes, as torchrun starts them."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": WORLD, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    distributed.begin()
    size = len(columns(slice(None))["completions"]) // WORLD
    found.put((rank, *valued(slice(rank * size, (rank + 1) * size))))
    distributed.barrier()


def test_stance_compares_with_the_documents_of_other_processes() -> None:
    context = get_context("spawn")
    found: Queue[Any] = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=work, args=(rank, port, found)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    parts = sorted(found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    wanted, asked = valued(slice(None))
    assert all(value is not None for value in wanted)
    assert [value for _, values, _ in parts for value in values] == pytest.approx(wanted)
    # Each reads for its own completions alone.
    assert all(number < asked for *_, number in parts)
