"""An index made in parts, or opened from disk, is the one that is made at once."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interank.ir.bm25 import postings
from interank.ir.bm25.postings import Postings, Terms, Weighting, numbered

_TERMS = st.lists(st.sampled_from(["tea", "hot", "stone", "sea", "a", "b"]), max_size=6)
_PARTS = st.lists(st.lists(_TERMS, max_size=4), min_size=1, max_size=4)


@settings(deadline=None)
@given(_PARTS, _TERMS)
def test_parts_do_not_matter(parts: list[list[list[str]]], query: list[str]) -> None:
    whole = Postings([document for part in parts for document in part], "saturated")
    joined = Postings.joined(map(numbered, parts), "saturated")
    assert joined.term_count == whole.term_count
    for one, other in zip(whole.search(query, 3), joined.search(query, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_was_saved_searches_as_it_did(tmp_path: Path) -> None:
    made = Postings([["tea", "hot", "tea"], ["stone"], ["hot", "stone", "sea"]], "counts")
    made.save(tmp_path / "index")
    stored = Postings.stored(tmp_path / "index")
    for one, other in zip(
        made.search(["tea", "hot"], 2, barred=[2]), stored.search(["tea", "hot"], 2, barred=[2]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert stored.term_count == 4


@settings(deadline=None)
@given(_PARTS, st.integers(1, 9), st.sampled_from(["counts", "saturated"]))
def test_weights_do_not_depend_on_how_many_are_weighed_together(
    parts: list[list[list[str]]], together: int, weighting: Weighting
) -> None:
    documents = [document for part in parts for document in part]
    whole = Postings(documents, weighting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_TOGETHER", together)
        few = Postings(documents, weighting)
    np.testing.assert_array_equal(few._weights, whole._weights)
    assert few._weights.dtype == np.float32


def test_an_index_takes_little_beside_what_it_holds() -> None:
    rng = np.random.default_rng(1)
    part = Terms([f"t{number}" for number in range(1000)], rng.integers(0, 1000, 400_000, np.int32), np.full(2000, 200))
    tracemalloc.start()
    Postings.joined([part], "counts")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 64-bit numbers and all weights at once took 56 bytes a word.
    assert most < 40 * 400_000
