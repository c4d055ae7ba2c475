"""An index made in parts, or opened from disk, is the one that is made at once."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from interank.ir.bm25.postings import Postings, numbered

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
