"""Replaces queries of a generation batch whose completions have no gradient.

Where all completions of a prompt get the same reward, there is no gradient. Such groups are dropped before the backward
pass; where all groups of a query are, another query takes its place, as in DAPO's dynamic sampling (arXiv 2503.14476,
section 3.2).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

from interank import distributed
from interank.training.objective import Objective, Row

# The tensors that TRL pads on the left; other tensors of tokens are padded on the right.
_ON_THE_LEFT = ("prompt_ids", "prompt_mask")


def without_signal(batch: dict[str, Any], rows: int, *, supervised: bool = False) -> list[int]:
    """The numbers of the queries (`rows` consecutive rows each) without any advantage or difference of grade values.

    Where grades are `supervised`, every query that is graded first has a gradient.
    """
    advantages = batch["advantages"].view(len(batch["advantages"]), -1)
    moves = (advantages != 0).any(1)
    if "grade_values" in batch:
        values = batch["grade_values"]
        moves |= (values != values[:, :1]).any(1)
    if supervised:
        moves |= batch["grade_at"] >= 0
    idle: list[int] = (~moves.view(-1, rows).any(1)).nonzero()[:, 0].tolist()
    return idle


def refilled(
    batch: dict[str, Any],
    present: set[str],
    objective: Objective,
    group: int,
    rng: random.Random,
    complete: Callable[[list[dict[str, Any]], int, int], dict[str, Any]],
) -> tuple[dict[str, Any], int]:
    """The batch with other queries in place of those without a gradient, and the number of replacements.

    Args:
        batch: A generation batch, query by query.
        present: The ids of its queries.
        objective: Has the number of rounds and the queries to draw from.
        group: Completions of a prompt.
        rng: Draws the replacements.
        complete: Samples and credits completions of rows; its other arguments are the number of rows of earlier
            processes and of all processes.

    Several processes draw the same queries for all of them and take theirs in turn. Each completes as many as the one
    that needs most, since each waits for the others; surplus completions are dropped.
    """
    rows, number = objective.documents * group, 0
    for _ in range(objective.refills):
        idle = without_signal(batch, rows, supervised=objective.grade.supervises)
        wanted = distributed.gathered(len(idle))
        others = replacements(objective, present, sum(wanted), rng)
        if not others:
            break
        present = present | {str(query[0]["query_id"]) for query in others}
        before = sum(wanted[: distributed.rank()])
        own = others[before : before + len(idle)]
        most = max(min(each, max(0, len(others) - sum(wanted[:place]))) for place, each in enumerate(wanted))
        # Surplus queries are its neighbours', whose completions are the same there, so that no judge marks more.
        start = min(before, len(others) - most)
        fresh = [dict(row) for query in others[start : start + most] for row in query for _ in range(group)]
        places = [place for query in idle[: len(own)] for place in range(query * rows, (query + 1) * rows)]
        completed = complete(fresh, start * rows, len(others) * rows)
        batch = replace_rows(batch, completed, places, (before - start) * rows)
        number += len(others)
    return batch, number


def replacements(objective: Objective, present: set[str], number: int, rng: random.Random) -> list[list[Row]]:
    """The rows of `number` other queries, or of as many as there are."""
    size = objective.documents
    starts = [
        start for start in range(0, len(objective.reserve), size) if objective.reserve[start]["query_id"] not in present
    ]
    return [
        [dict(row) for row in objective.reserve[start : start + size]]
        for start in rng.sample(starts, min(number, len(starts)))
    ]


def replace_rows(batch: dict[str, Any], fresh: dict[str, Any], places: Sequence[int], start: int = 0) -> dict[str, Any]:
    """The batch with the rows of `fresh` from `start` on at the indices `places`, padded to the longer of both."""
    at = torch.tensor(list(places), dtype=torch.long, device=batch["completion_ids"].device)
    merged = dict(batch)
    for name, old in batch.items():
        new = fresh.get(name)
        if not torch.is_tensor(old) or not old.dim() or not torch.is_tensor(new):
            continue
        if old.dim() > 1:
            width = max(old.shape[1], new.shape[1])
            old, new = (_widened(part, width, left=name in _ON_THE_LEFT) for part in (old, new))
        merged[name] = old.index_copy(0, at, new[start : start + len(at)])
    mask = merged["completion_mask"] * merged.get("tool_mask", 1)
    merged["num_items_in_batch"] = mask.sum()
    return merged


def _widened(part: torch.Tensor, width: int, *, left: bool) -> torch.Tensor:
    missing = width - part.shape[1]
    return torch.nn.functional.pad(part, (missing, 0) if left else (0, missing))
