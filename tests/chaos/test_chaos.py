"""Ten commands ended at random, of every kind and every command among them; `make chaos` ends more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.__main__ import on_trial, outcome
from tests.chaos.cases import KINDS, case
from tests.chaos.subjects import NAMES
from tests.chaos.trial import Trial

SEED = 20261128
KILLS = 10


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with on_trial(tmp_path_factory.mktemp("chaos")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS), ids=lambda number: f"seed {SEED}, {case(SEED, number)}")
def test_an_ended_command_goes_on_to_the_same_output(trial: Trial, number: int) -> None:
    told = outcome(trial, case(SEED, number), SEED)
    if told.startswith("skipped"):
        pytest.skip(told)
    assert not told.startswith("FAILED"), told


def test_cases_are_the_same_for_a_seed_and_meet_every_kind_with_every_command() -> None:
    pairs = len(KINDS) * len(NAMES)
    drawn = [case(SEED, number) for number in range(pairs)]
    assert drawn == [case(SEED, number) for number in range(pairs)]
    assert drawn != [case(SEED + 1, number) for number in range(pairs)]
    assert len({(one.kind, one.subject) for one in drawn}) == pairs
    assert {one.kind for one in drawn[:KILLS]} == {*KINDS}
    assert {one.subject for one in drawn[:KILLS]} == {*NAMES}
