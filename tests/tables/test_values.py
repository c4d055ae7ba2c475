"""A value says the same however a table spells it; what says nothing clear is refused."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from interank.tables import values


@pytest.mark.parametrize(
    ("value", "read"),
    [("T-7", "T-7"), (" 7 ", "7"), (7, "7"), (7.0, "7"), ("7.0", "7"), (Decimal("7"), "7"), ("007", "007")],
)
def test_ids(value: object, read: str) -> None:
    assert values.identifier(value) == read


@pytest.mark.parametrize("value", [True, 1.5, "", " ", None, math.nan, math.inf, "a\nb", "a" * 201, ["a"], "\ud800"])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(ValueError, match=r"is no id|half a character"):
        values.identifier(value)


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "T", "yes", "Y", "1", "1.0", " TRUE "])
def test_what_is_true(value: object) -> None:
    assert values.truth(value) is True


@pytest.mark.parametrize(
    "value",
    [False, 0, 0.0, "false", "False", "F", "no", "N", "0", "0.0"],
)
def test_what_is_not_true(value: object) -> None:
    assert values.truth(value) is False


@pytest.mark.parametrize("value", ["", "nan", "NULL", "<NA>", None, math.nan])
def test_what_is_null_says_neither(value: object) -> None:
    assert values.truth(value) is None


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, [True], "accepted"])
def test_what_is_neither(value: object) -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        values.truth(value)


@pytest.mark.parametrize(("value", "read"), [(3, 3), (3.0, 3), ("3", 3), ("3.0", 3), ("-2", -2), (None, 0), ("NaN", 0)])
def test_votes(value: object, read: int) -> None:
    assert values.votes(value) == read


@pytest.mark.parametrize("value", [1.5, "1.5", "many", True, math.inf, 1 << 63])
def test_what_is_no_count(value: object) -> None:
    with pytest.raises(ValueError, match="is no whole number"):
        values.votes(value)


@pytest.mark.parametrize(("value", "read"), [("1e-3", 0.001), (2, 2.0), (True, 1.0), (Decimal("2.5"), 2.5)])
def test_numbers(value: object, read: float) -> None:
    assert values.number(value) == read


@pytest.mark.parametrize("value", ["high", "nan", math.inf, None, [1], "1_000", "\uff11"])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(ValueError, match="is no"):
        values.number(value)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("<a><b c>", ("a", "b c")),
        ("|a|b|", ("a", "b")),
        ("a b", ("a", "b")),
        ("a, b c", ("a", "b c")),
        ("a;b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        (["a", 7, None], ("a", "7")),
        ("", ()),
        (math.nan, ()),
    ],
)
def test_tags(value: object, read: tuple[str, ...]) -> None:
    assert values.tags(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (["a"], ["a"]),
        ('["a", 1]', ["a", 1]),
        ("[{'a': True}]", [{"a": True}]),
        ({"text": ["a", "b"], "score": [1, 2]}, [{"text": "a", "score": 1}, {"text": "b", "score": 2}]),
    ],
)
def test_lists(value: object, read: list[Any]) -> None:
    assert values.items(value) == read


@pytest.mark.parametrize("value", ["a", 3, "[a", {"text": "a"}, "[" * 100_000, {"a": [1], "b": [1, 2]}])
def test_what_is_no_list(value: object) -> None:
    with pytest.raises(ValueError, match="is no list"):
        values.items(value)
