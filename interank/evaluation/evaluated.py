"""What an evaluation ranked, what that cost and what is to be said of it, before anything is scored."""

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


@dataclass(frozen=True, slots=True)
class Scoring:
    """How rankings are scored, and what is told of where they come from; keys as in a recipe of evaluate."""

    benchmark: Path | None
    run: Path | None
    """The first stage's run, where one was given."""
    mode: Mode
    measures: tuple[str, ...]
    """The first is the one that is told."""
    relevant_from: int
    """The least grade of the qrels that counts as relevant."""
    explain: int
    """Documents of a query that are explained."""
    price_per_hour: float | None
    seed: int

    @classmethod
    def of(cls, recipe: Any) -> Scoring:
        """What a recipe of evaluate says of it."""
        return cls(**{item.name: getattr(recipe, item.name) for item in fields(cls)})


def ran_on(rankings: Mapping[str, Rankings]) -> dict[str, str]:
    """By system what its rows say of engine, device and precision."""
    found = {}
    for name, rows in rankings.items():
        said = {str(row[key]) for row in rows.values() for key in MACHINE_KEYS if row.get(key)}
        if said:
            found[name] = ", ".join(sorted(said))
    return found


def costs_of(name: str, rankings: Rankings) -> dict[str, dict[str, float | None]]:
    """What a reranker took in all, and each link of a chain."""
    costs = {name: {key: _total(rankings.values(), key) for key in COST_KEYS}}
    return costs | _costs_of_links(name, rankings)


def notes_on_ranked(name: str, rankings: Rankings) -> list[str]:
    """What has to be said beside a reranker's scores: texts that were cut, and answers that were mended."""
    return _notes_on_cuts(name, rankings) + _notes_on_lists(name, rankings)


def _costs_of_links(name: str, rankings: Rankings) -> dict[str, dict[str, float | None]]:
    """What each link of a chain took in all."""
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
    """That documents did not fit into the adapter's prompt, where some did not."""
    lost = [item["truncated"] for row in rankings.values() for item in row["ranking"]]
    cut = sum(tokens > 0 for tokens in lost)
    if not cut:
        return []
    told = f"{cut} of {counted(len(lost), 'document')} ({cut / len(lost):.0%})"
    return [f"{name} read {told} without their ends, for which its prompt has no room"]


def _notes_on_lists(name: str, rankings: Rankings) -> list[str]:
    """How a listwise reranker's answers were read, where there was one."""
    told = [lists for row in rankings.values() for lists in row.get("listwise", ())]
    if not told:
        return []
    count = {key: sum(lists[key] for lists in told) for key in ("answers", "unreadable", "repaired", "unranked")}
    kinds = {kind: sum(lists["repairs"][kind] for lists in told) for kind in told[0]["repairs"]}
    mended = ", ".join(f"{kind} {number}" for kind, number in kinds.items() if number) or "nothing"
    return [
        f"{name}: of {count['answers']} answers about windows {count['unreadable']} held no ranking and "
        f"{count['repaired']} were mended ({mended}); {count['unranked']} windows kept their order"
    ]
