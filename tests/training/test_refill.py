"""Queries from whose completions nothing is to be learned give their places to others."""

from __future__ import annotations

import random
from typing import Any

import torch

from interank.rewards import WeightedReward
from interank.training.objective import Objective
from interank.training.refill import replace_rows, replacements, without_signal


def batch(advantages: list[float], width: int, fill: int) -> dict[str, Any]:
    rows = len(advantages)
    return {
        "prompt_ids": torch.full((rows, width + 1), fill),
        "prompt_mask": torch.ones((rows, width + 1), dtype=torch.long),
        "completion_ids": torch.full((rows, width), fill),
        "completion_mask": torch.ones((rows, width), dtype=torch.long),
        "tool_mask": torch.ones((rows, width), dtype=torch.long),
        "advantages": torch.tensor(advantages),
        "num_items_in_batch": torch.tensor(rows * width),
    }


def test_a_query_without_any_advantage_is_idle() -> None:
    assert without_signal(batch([0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0], 3, 1), 4) == []
    assert without_signal(batch([0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 1.0], 3, 1), 4) == [0]


def test_a_grade_that_would_earn_more_than_another_is_something_to_learn() -> None:
    given = batch([0.0] * 4, 3, 1)
    given["grade_values"] = torch.tensor([[0.0, 0.0, 0.0]] * 2 + [[0.5, 0.0, -0.5]] * 2)
    assert without_signal(given, 2) == [0]


def test_a_judged_grade_is_something_to_learn_whatever_is_rewarded() -> None:
    given = batch([0.0] * 4, 3, 1) | {"grade_values": torch.zeros(4, 3), "grade_at": torch.tensor([2, 2, -1, -1])}
    assert without_signal(given, 2) == [0, 1]
    assert without_signal(given, 2, supervised=True) == [1]


def test_replacements_are_whole_queries_that_are_not_there() -> None:
    reserve = [{"query_id": f"q{query}", "doc_id": f"{query}-{place}"} for query in range(4) for place in range(2)]
    objective = Objective([WeightedReward(lambda **_: [])], documents=2, reserve=reserve)
    found = replacements(objective, {"q0", "q2"}, 5, random.Random(0))
    assert sorted(query[0]["query_id"] for query in found) == ["q1", "q3"]
    assert all(
        [row["doc_id"] for row in query] == [f"{query[0]['query_id'][1]}-{n}" for n in range(2)] for query in found
    )


def test_rows_take_their_places_padded_on_their_own_sides() -> None:
    merged = replace_rows(batch([0.0, 0.0, 1.0, -1.0], 2, 1), batch([0.5, -0.5], 3, 7), [0, 1])
    assert merged["advantages"].tolist() == [0.5, -0.5, 1.0, -1.0]
    assert merged["completion_ids"][0].tolist() == [7, 7, 7]
    assert merged["completion_ids"][2].tolist() == [1, 1, 0]
    assert merged["completion_mask"][2].tolist() == [1, 1, 0]
    assert merged["prompt_ids"][2].tolist() == [0, 1, 1, 1]
    assert merged["prompt_mask"][2].tolist() == [0, 1, 1, 1]
    assert int(merged["num_items_in_batch"]) == 3 + 3 + 2 + 2


def test_a_process_that_completes_for_company_alone_keeps_its_rows() -> None:
    mask = torch.ones(4, 3, dtype=torch.long)
    own = {"completion_ids": torch.arange(12).view(4, 3), "completion_mask": mask}
    fresh = {"completion_ids": torch.zeros(4, 5, dtype=torch.long), "completion_mask": torch.ones(4, 5).long()}
    merged = replace_rows(own, fresh, [])
    assert torch.equal(merged["completion_ids"][:, :3], own["completion_ids"])
    assert int(merged["num_items_in_batch"]) == 12
