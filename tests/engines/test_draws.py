"""Tokens are drawn by the distribution, from numbers that are a text's own whoever is written beside it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interank.engines.drawing import Draw, inverse


@pytest.fixture(params=["raced", "inverted"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """On a CPU tokens are raced; here the way of other devices runs there too."""
    if request.param == "inverted":
        monkeypatch.setattr(Draw, "_raced", Draw._inverted)
    return str(request.param)


def test_tokens_are_drawn_as_often_as_they_are_likely(way: str) -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, -30.0])
    rows, temperature = 40_000, 0.7
    tokens, logprobs = Draw(rows, temperature, 5)(logits.expand(rows, -1), range(rows))
    shares = (logits / temperature).softmax(-1)
    counts = tokens.bincount(minlength=5) / rows
    # Four standard deviations of a share of a half.
    assert counts.tolist() == pytest.approx(shares.tolist(), abs=4 * 0.5 / rows**0.5)
    assert logprobs.exp().tolist() == pytest.approx(shares[tokens].tolist(), rel=1e-4)


def test_a_text_s_chance_is_its_own(way: str) -> None:
    logits = torch.randn(3, 9, 50, generator=torch.Generator().manual_seed(1))
    whole, part = Draw(9, 1.0, 4), Draw(9, 1.0, 4)
    for step in range(3):
        chosen = [7, 2, 5]
        assert part(logits[step, chosen], chosen)[0].tolist() == whole(logits[step], range(9))[0][chosen].tolist()
    assert Draw(9, 1.0, 5)(logits[0], range(9))[0].tolist() != Draw(9, 1.0, 4)(logits[0], range(9))[0].tolist()


@settings(max_examples=200, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 0.1, 1.0]), min_size=1, max_size=40).filter(any),
    number=st.one_of(st.floats(0, 1, exclude_max=True), st.just(1 - 2.0**-53)),
)
def test_no_token_is_drawn_that_cannot_be(weights: list[float], number: float) -> None:
    shares = torch.tensor([weights])
    token = int(inverse(shares / shares.sum(), torch.tensor([number], dtype=torch.float64)))
    assert weights[token] > 0
    before = sum(weights[:token]) / sum(weights)
    assert before <= number + 1e-6
    assert number <= before + weights[token] / sum(weights) + 1e-6


def test_the_least_likely_of_a_large_vocabulary_are_reached() -> None:
    """A sum in float32 of 128,256 shares would pass over what weighs less than its last digit."""
    shares = torch.full((1, 128_256), 1e-9)
    shares[0, 0] = 1 - 1e-9 * 128_255
    numbers = torch.tensor([1 - 1.5e-9], dtype=torch.float64)
    assert int(inverse(shares, numbers)) > 128_000


def test_what_is_no_number_is_drawn_as_a_token_and_told_as_none(way: str) -> None:
    tokens, logprobs = Draw(2, 1.0, 0)(torch.full((2, 7), float("nan")), range(2))
    assert all(0 <= token < 7 for token in tokens.tolist())
    assert logprobs.isnan().all()
