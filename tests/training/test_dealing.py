"""A step is shared out among processes, or refused with those that could; each takes microbatches in turn."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from interank.errors import TrainingError
from interank.training.dealing import InTurn, shared
from interank.training.devices import shared_out


def one_of(monkeypatch: pytest.MonkeyPatch, world: int, rank: int = 0) -> None:
    """Say what torchrun would."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("world", "size", "accumulated", "told"),
    [
        (4, 2, 6, r"a step of 12 .* for 4 processes; make it 8 or 16, or start 1, 2, 3 or 6 processes"),
        # Nothing lies below.
        (4, 2, 3, r"a step of 6 .*; make it 8, or start 1 or 3 processes"),
        (2, 1, 1, r"a step of 1 .*; make it 2, or start 1 processes"),
    ],
)
def test_a_step_without_equal_parts_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, world: int, size: int, accumulated: int, told: str
) -> None:
    one_of(monkeypatch, world)
    with pytest.raises(TrainingError, match=told):
        shared_out({"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulated})


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_processes_together_compute_the_step_of_one(monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    one_of(monkeypatch, world)
    given = shared_out({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 6})
    assert given["gradient_accumulation_steps"] * world == 6
    assert given["per_device_train_batch_size"] == 2


@pytest.mark.parametrize("rows", [1, 6, 7, 8, 11])
@pytest.mark.parametrize("world", [2, 3])
def test_every_row_is_dealt_once_and_all_take_as_many_turns(rows: int, world: int) -> None:
    batches = BatchSampler(SequentialSampler(range(rows)), 2, drop_last=False)
    dealt = [list(InTurn(batches, number, world)) for number in range(world)]
    assert {len(turns) for turns in dealt} == {len(InTurn(batches, 0, world))}
    in_turn = [batch for turns in zip(*dealt, strict=True) for batch in turns if batch]
    assert in_turn == list(batches)


def test_rows_in_an_order_of_their_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Any = [0, 1, 2]
    loader = DataLoader(rows, batch_size=1)
    assert shared(loader) is loader
    one_of(monkeypatch, 2)
    with pytest.raises(TrainingError, match=r"SequentialSampler draws them; leave trainer\.train_"):
        shared(loader)
