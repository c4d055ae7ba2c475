"""Plans of windows: every document seen, a total order, the stated calls; and what an exact model's order becomes."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interank.errors import InterankError
from interank.recipe import read_keys
from interank.settings import ListwiseRecipe, WindowMethod
from interank.tasks.windows import Showing, Window, aggregated, calls, follow, plan, showings

METHODS: tuple[WindowMethod, ...] = get_args(WindowMethod)


@st.composite
def ways(draw: st.DrawFn) -> ListwiseRecipe:
    window = draw(st.integers(2, 25))
    return ListwiseRecipe(method=draw(st.sampled_from(METHODS)), window=window, step=draw(st.integers(1, window - 1)))


def recorded(
    depth: int, way: ListwiseRecipe, truth: list[int] | None = None, seed: int = 0
) -> tuple[list[int], list[Window]]:
    """The plan's order under answers by `truth` (a value for each document), or by chance; and what was asked."""
    chance = random.Random(seed)
    asked: list[Window] = []

    def answer(windows: list[Window]) -> list[Window]:
        asked.extend(windows)
        if truth is None:
            return [tuple(chance.sample(window, len(window))) for window in windows]
        return [tuple(sorted(window, key=truth.__getitem__)) for window in windows]

    return follow(plan(depth, way), answer), asked


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("window", "step"), [(20, 10), (20, 1), (20, 19), (10, 5), (7, 3), (3, 2), (2, 1), (120, 60)])
def test_at_every_depth_each_document_is_seen_the_order_is_total_and_the_calls_are_the_stated_ones(
    method: WindowMethod, window: int, step: int
) -> None:
    way = ListwiseRecipe(method=method, window=window, step=step)
    for depth in range(1, 121):
        order, asked = recorded(depth, way, seed=depth)
        assert sorted(order) == list(range(depth))
        assert len(asked) == calls(depth, way)
        assert depth == 1 or {place for one in asked for place in one} == set(range(depth))
        assert all(2 <= len(one) == len(set(one)) <= window for one in asked)


@settings(deadline=None)
@given(way=ways(), depth=st.integers(0, 120), seed=st.integers(0, 999))
def test_any_way_through_any_depth_gives_a_total_order(way: ListwiseRecipe, depth: int, seed: int) -> None:
    order, asked = recorded(depth, way, seed=seed)
    assert sorted(order) == list(range(depth))
    assert len(asked) == calls(depth, way)


@settings(deadline=None)
@given(way=ways(), depth=st.integers(1, 120), seed=st.integers(0, 999))
def test_an_exact_model_brings_the_best_to_the_front(way: ListwiseRecipe, depth: int, seed: int) -> None:
    truth = random.Random(seed).sample(range(depth), depth)
    best = sorted(range(depth), key=truth.__getitem__)
    order, _ = recorded(depth, way, truth)
    sure = way.window - way.stride if way.method == "sliding" else 1
    if way.method == "top_down" and calls(depth, way) > way.window + 1:
        # More windows than the last one holds documents: not each one's best is ranked again.
        sure = 0
    if depth <= way.window:
        sure = depth
    assert order[:sure] == best[:sure]


@pytest.mark.parametrize(
    ("method", "depth", "expected"),
    [
        ("sliding", 15, 1),  # The released code: none, as its loop wants a whole window.
        ("sliding", 20, 1),
        ("sliding", 25, 2),  # The released code: one, and the first five are never seen.
        ("sliding", 30, 2),
        ("sliding", 100, 9),
        ("tournament", 100, 6),
        ("top_down", 100, 7),
    ],
)
def test_the_calls_of_20_by_10(method: WindowMethod, depth: int, expected: int) -> None:
    way = ListwiseRecipe(method=method)
    assert calls(depth, way) == len(recorded(depth, way)[1]) == expected


def test_the_window_stands_full_at_both_ends() -> None:
    assert [(one[0], one[-1]) for one in recorded(25, ListwiseRecipe(), list(range(25)))[1]] == [(5, 24), (0, 19)]
    assert [len(one) for one in recorded(15, ListwiseRecipe())[1]] == [15]


def test_neighbours_of_the_first_stage_meet_in_the_final_only() -> None:
    _, asked = recorded(100, ListwiseRecipe(method="tournament"), list(range(100)))
    assert asked[0][:3] == (0, 5, 10)
    assert asked[-1] == tuple(range(20))


def test_who_went_further_comes_first() -> None:
    order, _ = recorded(9, ListwiseRecipe(method="tournament", window=3, step=1), list(range(9)))
    # Groups 0 3 6, 1 4 7 and 2 5 8: their winners, then their seconds, then their thirds.
    assert order == list(range(9))


@pytest.mark.parametrize("window", [5, 20])
def test_without_readable_answers_the_first_stage_s_order_stays(window: int) -> None:
    for method in METHODS:
        way = ListwiseRecipe(method=method, window=window, step=2)
        order = follow(plan(60, way), lambda windows: windows)
        if method == "sliding":
            assert order == list(range(60))
        assert order[0] == 0


def test_documents_that_an_answer_lacks_follow_in_the_window_s_own_order() -> None:
    shown = Showing((4, 7, 9, 2), (9, 2, 7, 4))
    assert shown.back((3, 0, 1, 2), named=1) == (4, 7, 9, 2)
    assert shown.back((2, 0, 1, 3), named=2) == (7, 9, 4, 2)


def test_a_window_is_shown_as_it_is_and_then_shuffled_by_seed() -> None:
    way = ListwiseRecipe(shuffles=4)
    window = tuple(range(10))
    shown = showings([window], way, "q")
    assert shown[0].shown == window
    assert len({item.shown for item in shown}) == 4
    assert all(sorted(item.shown) == list(window) for item in shown)
    assert showings([window], way, "q") == shown
    assert showings([window], way, "other") != shown
    assert showings([window], way.model_copy(update={"seed": 7}), "q") != shown


def test_orders_are_joined_by_the_sum_of_ranks_with_ties_as_the_window_is() -> None:
    assert aggregated((1, 2, 3), [(3, 1, 2), (1, 3, 2), (3, 2, 1)]) == (3, 1, 2)
    assert aggregated((1, 2, 3), [(3, 2, 1), (1, 2, 3)]) == (1, 2, 3)
    assert aggregated((5, 4), []) == (5, 4)


def test_a_step_that_lets_nothing_rise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step: 20 .*window of 20"):
        ListwiseRecipe(step=20)
    assert [ListwiseRecipe(window=window).stride for window in (20, 5, 2)] == [10, 2, 1]


def test_keys_of_the_command_line_make_the_settings() -> None:
    read = read_keys("--lists", ["window=5", "step=2", "prompt.form=dear"])
    assert read == {"window": 5, "step": 2, "prompt": {"form": "dear"}}
    with pytest.raises(InterankError, match=r"--lists.*'window'"):
        read_keys("--lists", ["window"])
