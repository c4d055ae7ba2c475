"""How far two ways of running a model lie apart is counted as by hand, and what is no number is never the same."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from interank.diagnosis.golden import Reading, golden_set
from interank.diagnosis.parity import TOLERANCES, Tolerance, difference
from interank.errors import InputError
from interank.types import GRADES

ALLOWED = Tolerance(0.5, 0.5, 0.5)


def reading(query_id: str, relevant: float, ids: tuple[int, ...] = (1,)) -> Reading:
    return Reading(query_id, ids, (0.0, 0.0, relevant))


def test_scores_ranks_and_grades_are_counted() -> None:
    before = [reading("a", value) for value in (3.0, 2.0, 1.0, -1.0)] + [reading("b", value) for value in (1.0, 2.0)]
    # In `a` the first two change places; in `b` all stays, but the second is graded otherwise.
    after = [reading("a", value) for value in (2.0, 3.0, 1.0, -1.0)] + [reading("b", value) for value in (-2.0, 2.0)]
    found = difference(before, after)
    apart = [abs(one.score - two.score) for one, two in zip(before, after, strict=True)]
    assert found.pairs == 6
    assert found.largest == max(apart) == apart[4] > 1
    assert found.mean == pytest.approx(sum(apart) / 6)
    # Of a's six pairs five agree and one does not: (5 - 1) / 6.
    assert found.tau == pytest.approx((4 / 6 + 1) / 2)
    assert (found.moved, found.grades, found.prompts) == (2, 1, 0)
    assert found.faults(Tolerance(5.0, 0.8, 1 / 6)) == []
    assert found.faults(Tolerance(5.0, 0.9, 0.1)) == ["Kendall's tau is 0.833", "1 of 6 grades differ"]
    assert [fault.split(" by ")[0] for fault in found.faults(Tolerance(0.9, 0.8, 0.5))] == ["a score differs"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_what_is_no_number_is_beyond_every_tolerance(place: int, odd: float) -> None:
    before = [reading("a", float(value)) for value in GRADES]
    after = [reading("a", odd if number == place else item.logits[2]) for number, item in enumerate(before)]
    found = difference(before, after)
    assert found.largest == math.inf
    assert found.faults(Tolerance(1e300, -1.0, 1.0))
    # None of the other grades changed.
    assert found.grades == 1


def test_one_way_alone_is_the_same_as_itself() -> None:
    before = [reading("a", 1.0), reading("a", 1.0), reading("b", 2.0)]
    found = difference(before, before)
    assert (found.largest, found.tau, found.moved) == (0.0, 1.0, 0)
    assert found.faults(TOLERANCES["exact"]) == []


def test_a_ranking_that_became_all_ties_is_none() -> None:
    found = difference([reading("a", 1.0), reading("a", 1.1)], [reading("a", 1.0), reading("a", 1.0)])
    assert found.tau == 0.0


def test_prompts_that_differ_are_a_fault_however_close_the_scores() -> None:
    found = difference([reading("a", 1.0, (1, 2))], [reading("a", 1.0, (1, 1, 2))])
    assert found.faults(ALLOWED) == ["1 of 1 prompts differ"]


def test_other_pairs_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 pair .*2"):
        difference([reading("a", 1.0)], [reading("a", 1.0), reading("a", 2.0)])


def test_the_golden_set_holds_gold_documents_and_odd_ones() -> None:
    asked = golden_set()
    assert sum(len(documents) for _, documents in asked) == 64
    assert len({query.query_id.split("-")[0] for query, _ in asked}) == 4
    texts = [document.text for _, documents in asked for document in documents]
    assert "" in texts
    assert any(len(text) > 2000 for text in texts)
    assert any("<|im_start|>" in text for text in texts)


def test_a_golden_set_of_one_s_own_has_to_rank(tmp_path: Path) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text(json.dumps({"query_id": "q", "query": "why?", "documents": ["one"]}))
    with pytest.raises(InputError, match="no query with two documents"):
        golden_set(file)
