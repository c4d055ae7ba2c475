"""What every command computes is what it computed before: losses, gradients and scores to 1e-5, rankings exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.cases import CASES, World, world
from tests.golden.comparison import differences

GOLDEN = Path(__file__).with_name("golden.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("golden"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_case_is_as_it_was(name: str, made: World, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))[name]
    found = json.loads(json.dumps(CASES[name](made, tmp_path)))
    assert [*differences(golden, found)] == []


def test_differences_are_told() -> None:
    golden = {"a": [1.0, 2.0], "b": "x", "c": 1.0}
    assert [*differences(golden, {"a": [1.000001, 2.0], "b": "x", "c": 1})] == []
    assert [*differences(golden, {"a": [1.0, 2.1], "b": "y", "d": 0})] == [
        "/a/1: 2.0 expected, 2.1 computed",
        "/b: 'x' expected, 'y' computed",
        "/c: only in the golden file",
        "/d: only in what was computed",
    ]
    assert [*differences([1, 2], [1])] == [": 2 items expected, 1 computed"]


def test_only_documents_whose_scores_are_equal_may_change_places() -> None:
    scores = {"a": {"score": 0.5}, "b": {"score": 0.500001}, "c": {"score": 0.4}}
    golden = {"order": ["b", "a", "c"], "documents": scores}
    assert [*differences(golden, {**golden, "order": ["a", "b", "c"]})] == []
    assert [*differences(golden, {**golden, "order": ["b", "c", "a"]})] == [
        "/order/1: 'a' expected, 'c' computed",
        "/order/2: 'c' expected, 'a' computed",
    ]
    assert [*differences(golden, {**golden, "order": ["b", "a", "a"]})] == ["/order/2: 'c' expected, 'a' computed"]
