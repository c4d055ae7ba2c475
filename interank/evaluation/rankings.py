"""An evaluation's rankings, costs and notes, before scoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.systems import StoredRun
from interank.modes import Mode
from interank.types import Run
from interank.wording import counted

Rankings = dict[tuple[str, str], dict[str, Any]]
"""A reranker's rows by task and query id: the ranking as plain data, and its cost."""

COST_KEYS = ("seconds", "tokens_read", "tokens_written", "flops")
MACHINE_KEYS = ("device", "engine", "dtype")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The rankings by system and task, and their costs.

    `runs` holds every system's runs, `rankings` the rerankers' rows, `stored` the stored runs with the bounds of their
    ties, `costs` the totals, `notes` the warnings to show beside the figures.
    """

    tasks: Sequence[Task]
    runs: Mapping[str, Mapping[str, Run]]
    rankings: Mapping[str, Rankings]
    stored: Mapping[str, Mapping[str, StoredRun]]
    costs: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How rankings are scored, and what the report says of their origin; keys as in an evaluate recipe."""

    benchmark: Path | None
    run: Path | None
    """The first stage's run, if one was given."""
    mode: Mode
    measures: tuple[str, ...]
    """The first is the headline measure."""
    relevant_from: int
    """The lowest qrels grade that counts as relevant."""
    explain: int
    """How many documents of a query are explained."""
    price_per_hour: float | None
    seed: int

    @classmethod
    def of(cls, recipe: Any) -> Scoring:
        """The settings of an evaluate recipe."""
        return cls(**{item.name: getattr(recipe, item.name) for item in fields(cls)})


def ran_on(rankings: Mapping[str, Rankings]) -> dict[str, str]:
    """By system, the engines, devices and precisions in its rows."""
    machines = {}
    for name, rows in rankings.items():
        values = {str(row[key]) for row in rows.values() for key in MACHINE_KEYS if row.get(key)}
        if values:
            machines[name] = ", ".join(sorted(values))
    return machines


def costs_of(name: str, rankings: Rankings) -> dict[str, dict[str, float | None]]:
    """The total cost of a reranker, and of each link of a chain."""
    costs = {name: {key: _total(rankings.values(), key) for key in COST_KEYS}}
    return costs | _costs_of_links(name, rankings)


def notes_on_ranked(name: str, rankings: Rankings) -> list[str]:
    """Warnings beside a reranker's scores: truncated texts and repaired listwise answers."""
    return _notes_on_cuts(name, rankings) + _notes_on_lists(name, rankings)


def _costs_of_links(name: str, rankings: Rankings) -> dict[str, dict[str, float | None]]:
    """The total cost of each link of a chain."""
    rows = [row["stages"] for row in rankings.values() if "stages" in row]
    return {
        f"{name}, {number + 1}. {links[0]['mode']} to {links[0]['depth']}": {
            key: _total(links, key) for key in COST_KEYS
        }
        for number, links in enumerate(zip(*rows, strict=True))
    }


def _total(rows: Collection[Mapping[str, Any]], key: str) -> float | None:
    values = [row[key] for row in rows]
    return None if None in values else sum(values)


def _notes_on_cuts(name: str, rankings: Rankings) -> list[str]:
    """A warning if documents were truncated to fit the prompt."""
    lost = [item["truncated"] for row in rankings.values() for item in row["ranking"]]
    cut = sum(tokens > 0 for tokens in lost)
    if not cut:
        return []
    documents = f"{cut} of {counted(len(lost), 'document')} ({cut / len(lost):.0%})"
    return [f"{name} read {documents} without their ends, for which its prompt has no room"]


def _notes_on_lists(name: str, rankings: Rankings) -> list[str]:
    """Counts of a listwise reranker's unreadable and repaired answers; empty for other rerankers."""
    listwise = [lists for row in rankings.values() for lists in row.get("listwise", ())]
    if not listwise:
        return []
    count = {key: sum(lists[key] for lists in listwise) for key in ("answers", "unreadable", "repaired", "unranked")}
    kinds = {kind: sum(lists["repairs"][kind] for lists in listwise) for kind in listwise[0]["repairs"]}
    repairs = ", ".join(f"{kind} {number}" for kind, number in kinds.items() if number) or "nothing"
    return [
        f"{name}: of {count['answers']} answers about windows {count['unreadable']} held no ranking and "
        f"{count['repaired']} were repaired ({repairs}); {count['unranked']} windows kept their order"
    ]
