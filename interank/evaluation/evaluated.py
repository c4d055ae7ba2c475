"""What an evaluation ranked, and what that cost, before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.systems import StoredRun
from interank.types import Run

Rankings = dict[tuple[str, str], dict[str, Any]]
"""A reranker's rows by task and query id: the ranking as plain data, and what it cost."""

COST_KEYS = ("seconds", "tokens_read", "tokens_written", "flops")
MACHINE_KEYS = ("device", "engine", "dtype")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was ranked, by system and task, and what it cost.

    `runs` holds every system's, `rankings` the rerankers' rows, `stored` what is to be said of stored runs, `costs` the
    totals, `notes` what belongs beside the figures.
    """

    tasks: Sequence[Task]
    runs: Mapping[str, Mapping[str, Run]]
    rankings: Mapping[str, Rankings]
    stored: Mapping[str, Mapping[str, StoredRun]]
    costs: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]


def ran_on(rankings: Mapping[str, Rankings]) -> dict[str, str]:
    """By system what its rows say of engine, device and precision."""
    found = {}
    for name, rows in rankings.items():
        said = {str(row[key]) for row in rows.values() for key in MACHINE_KEYS if row.get(key)}
        if said:
            found[name] = ", ".join(sorted(said))
    return found
