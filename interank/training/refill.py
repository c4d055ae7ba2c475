"""Replacing queries of a generation batch from whose completions nothing can be learned.

Where all completions of a prompt earn the same there is no gradient. Such groups are dropped before the backward pass;
where that is a whole query, others take its place, as DAPO's dynamic sampling does (arXiv 2503.14476, section 3.2).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

from interank import distributed
from interank.training.objective import Objective, Row

# What TRL pads on the left; the rest of what has tokens is padded on the right.
_ON_THE_LEFT = ("prompt_ids", "prompt_mask")


def without_signal(batch: dict[str, Any], rows: int, *, supervised: bool = False) -> list[int]:
    """The queries (numbers of `rows` rows on end) in which no completion has an advantage, nor a grade a better one.

    Where grades are `supervised`, every query that is graded first has something to learn.
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
    """The batch with others in place of queries from which nothing is to be learned, and how many were replaced.

    Args:
        batch: A generation batch, queries on end.
        present: The ids of its queries.
        objective: Says how often, and has the queries to draw from.
        group: Completions of a prompt.
        rng: Draws them.
        complete: Gives rows their completions, as the batch has them; told how many rows are those of processes
            before, and how many of all.

    Several processes draw the same queries for all of them, take theirs in turn, and complete as many as the one that
    needs most, since each waits for the others; what is completed for company is dropped.
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
        # Its own, with some of its neighbours', which are completed as there, so that no judge has more to mark.
        start = min(before, len(others) - most)
        fresh = [dict(row) for query in others[start : start + most] for row in query for _ in range(group)]
        places = [place for query in idle[: len(own)] for place in range(query * rows, (query + 1) * rows)]
        completed = complete(fresh, start * rows, len(others) * rows)
        batch = replace_rows(batch, completed, places, (before - start) * rows)
        number += len(others)
    return batch, number


def replacements(objective: Objective, present: set[str], number: int, rng: random.Random) -> list[list[Row]]:
    """Other queries' rows, `number` queries or as many as there are."""
    size = objective.documents
    starts = [
        start for start in range(0, len(objective.reserve), size) if objective.reserve[start]["query_id"] not in present
    ]
    return [
        [dict(row) for row in objective.reserve[start : start + size]]
        for start in rng.sample(starts, min(number, len(starts)))
    ]


def replace_rows(batch: dict[str, Any], fresh: dict[str, Any], places: Sequence[int], start: int = 0) -> dict[str, Any]:
    """The batch with `fresh`'s rows from `start` on in these places, padded as far as the longer needs."""
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
