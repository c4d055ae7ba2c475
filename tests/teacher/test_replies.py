"""Replies are kept by model, prompt and sampling, and a budget stops asking."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Failure, LabelLogits, Reply, Request, Sampling, Unit
from interank.errors import InputError
from interank.settings import BudgetRecipe, RateRecipe
from interank.teacher.budget import Meter, Spent
from interank.teacher.replies import Asker, ReplyStore


class CountingTeacher:
    """Replies with the prompt's own ids, and counts; prompts that begin with 13 fail."""

    abilities: frozenset[Ability] = frozenset({"token_ids"})
    vocabulary: int | None = None

    def __init__(self, unit_size: int = 1, identity: str = "counting") -> None:
        self.unit_size = unit_size
        self.identity = identity
        self.asked: list[Unit] = []

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failure, ...]]]:
        for unit in units:
            self.asked.append(unit)
            yield unit, tuple(self.reply(request) for request in unit)

    @staticmethod
    def reply(request: Request) -> Reply | Failure:
        assert isinstance(request.prompt, Prompt)
        ids = request.prompt.ids
        if ids[0] == 13:
            return Failure("unlucky")
        return Reply(ids, read=len(ids), written=2, labels=LabelLogits((0.1, 0.2, 1 / 3), 0.7))


def requests(*first: int, sampling: Sampling | None = None) -> list[Request]:
    return [Request(Prompt((number,), (7,), (8,)), sampling or Sampling(5), end=2) for number in first]


def asker(folder: Path, teacher: CountingTeacher, budget: BudgetRecipe | None = None, **more: object) -> Asker:
    shared = more.get("shared")
    assert shared is None or isinstance(shared, ReplyStore)
    store = ReplyStore(folder / "own.sqlite")
    return Asker(teacher, store, shared, Meter(budget or BudgetRecipe(), RateRecipe(read=1e6, written=1e6)))


def ids_of(replies: Sequence[Reply | Failure | None]) -> list[int | None]:
    return [reply.ids[0] if isinstance(reply, Reply) else None for reply in replies]


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    first = asker(tmp_path, teacher).replies(requests(1, 2, 3))
    second = asker(tmp_path, teacher).replies(requests(3, 4, 1))
    assert ids_of(first) == [1, 2, 3]
    assert ids_of(second) == [3, 4, 1]
    assert second[0] == first[2], "a reply changed while it was kept"
    assert len(teacher.asked) == 4


def test_equal_requests_are_asked_once(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    assert ids_of(asker(tmp_path, teacher).replies(requests(5, 5, 5))) == [5, 5, 5]
    assert len(teacher.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(requests(1)[0], sampling=Sampling(6)),
        replace(requests(1)[0], sampling=Sampling(5, temperature=0.5)),
        replace(requests(1)[0], end=3),
        replace(requests(1)[0], labels=(1, 2, 3)),
        replace(requests(1)[0], schema="{}"),
        replace(requests(1)[0], prompt=Prompt((1,), (7,), (9,))),
    ],
)
def test_whatever_a_reply_depends_on_is_part_of_its_key(tmp_path: Path, other: Request) -> None:
    teacher = CountingTeacher()
    asker(tmp_path, teacher).replies([*requests(1), other])
    assert len(teacher.asked) == 2


def test_the_seed_counts_where_it_matters_and_the_model_always(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    greedy = asker(tmp_path, teacher)
    greedy.replies(requests(1, sampling=Sampling(5, seed=1)))
    greedy.replies(requests(1, sampling=Sampling(5, seed=2)))
    assert len(teacher.asked) == 1
    greedy.replies(requests(1, sampling=Sampling(5, temperature=1.0, seed=1)))
    greedy.replies(requests(1, sampling=Sampling(5, temperature=1.0, seed=2)))
    assert len(teacher.asked) == 3
    other = CountingTeacher(identity="another")
    asker(tmp_path, other).replies(requests(1))
    assert len(other.asked) == 1


def test_prompts_cut_into_other_parts_are_the_same_request(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    one, two = Prompt((1, 2), (3,), (4,)), Prompt((1,), (2, 3), (4,))
    asker(tmp_path, teacher).replies([Request(one), Request(two)])
    assert len(teacher.asked) == 1


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    assert asker(tmp_path, teacher).replies(requests(1, 13))[1] == Failure("unlucky")
    asker(tmp_path, teacher).replies(requests(1, 13))
    assert [unit[0].prompt.prefix for unit in teacher.asked if isinstance(unit[0].prompt, Prompt)] == [
        (1,),
        (13,),
        (13,),
    ]


def test_a_unit_stands_or_falls_together(tmp_path: Path) -> None:
    teacher = CountingTeacher(unit_size=2)
    asker(tmp_path, teacher).replies(requests(1, 2, 3, 13, 5))
    assert [len(unit) for unit in teacher.asked] == [2, 2, 1]
    teacher.asked.clear()
    asker(tmp_path, teacher).replies(requests(1, 2, 3, 13, 5))
    assert [len(unit) for unit in teacher.asked] == [2]


def test_a_reply_that_a_kill_kept_from_the_shared_store_gets_there_on_the_next_run(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    asker(tmp_path / "a", teacher).replies(requests(1, 2))
    shared = ReplyStore(tmp_path / "shared.sqlite")
    asker(tmp_path / "a", teacher, shared=shared).replies(requests(1, 2))
    asker(tmp_path / "b", teacher, shared=shared).replies(requests(1, 2))
    assert len(teacher.asked) == 2


def test_another_output_takes_replies_from_the_shared_store_and_pays_nothing(tmp_path: Path) -> None:
    teacher = CountingTeacher()
    asker(tmp_path / "a", teacher, shared=ReplyStore(tmp_path / "shared.sqlite")).replies(requests(1, 2))
    other = asker(tmp_path / "b", teacher, shared=ReplyStore(tmp_path / "shared.sqlite"))
    other.replies(requests(1, 2, 3))
    assert len(teacher.asked) == 3
    assert (other.asked.sent, other.asked.replayed) == (1, 2)
    store = ReplyStore(tmp_path / "b" / "own.sqlite")
    assert (store.spent().read, store.held().read) == (3, 9)


@pytest.mark.parametrize(
    ("budget", "answered", "told"),
    [
        (BudgetRecipe(tokens=11), 3, "15 tokens of 11"),
        (BudgetRecipe(tokens=10), 2, "10 tokens of 10"),
        (BudgetRecipe(dollars=14.5), 3, "15.0000 dollars of 14.5"),
        (BudgetRecipe(seconds=1e-9), 0, "the 1e-09 seconds are over"),
        (BudgetRecipe(), 5, ""),
    ],
)
def test_asking_stops_at_the_budget(tmp_path: Path, budget: BudgetRecipe, answered: int, told: str) -> None:
    limited = asker(tmp_path, CountingTeacher(), budget)
    assert ids_of(limited.replies(requests(1, 2, 3, 4, 5))) == [*range(1, answered + 1), *[None] * (5 - answered)]
    assert limited.meter.stopped == told


def test_what_an_earlier_run_spent_counts(tmp_path: Path) -> None:
    asker(tmp_path, CountingTeacher()).replies(requests(1, 2))
    spent = ReplyStore(tmp_path / "own.sqlite").spent()
    assert (spent.read, spent.written) == (6, 4)
    assert spent.seconds > 0
    meter = Meter(BudgetRecipe(tokens=10), None, Spent(spent.read, spent.written, 0.0))
    assert meter.reached()


def _write(path: Path, first: int, begin: Any) -> None:
    # All at the same moment, so that they make the file together.
    begin.wait()
    store = ReplyStore(path)
    for number in range(first, first + 50):
        store.put(str(number), [Reply((number,))], paid=True)
        assert store.get(str(number)) is not None
    store.close()


def test_several_processes_may_write(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(4)
    writers = [context.Process(target=_write, args=(path, first, begin)) for first in (0, 0, 25, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert sorted(int(key) for key, *_ in ReplyStore(path).rows()) == [*range(75), *range(100, 150)]


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    path.write_text("not a database, but long enough to look like one" * 100)
    with pytest.raises(InputError, match="keep replies"):
        ReplyStore(path)
    with pytest.raises(InputError, match="keep replies"):
        ReplyStore(path / "below" / "a.sqlite")
