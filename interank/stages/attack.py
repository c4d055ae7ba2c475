"""attack: how many places irrelevant documents gain by attacks on the judge, with and without a guard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interank.diagnosis.attacks import AttackOutcome, drawn_victims, gains, tried_on
from interank.distributed import refuse_several_processes
from interank.errors import InputError
from interank.evaluation.candidates import CandidateSettings, Task, load_evaluated
from interank.modes import Guard, Mode
from interank.progress import track
from interank.reranking.opening import open_reranker
from interank.settings.precision import Precision
from interank.tasks.judge.attacks import Part, attack_templates
from interank.tasks.ranker_settings import RankerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttackPlan:
    """Which documents are attacked, and how the model is asked."""

    benchmark: Path
    task: str | None = None
    split: str | None = None
    queries: int = 20
    depth: int = 10
    """Candidates of each query, of which one irrelevant one is attacked at a time."""
    modes: tuple[Mode, ...] = ("score",)
    guards: tuple[Guard, ...] = ("none", "fence")
    parts: tuple[Part, ...] = ("practice", "held_out", "control")
    max_reasoning_tokens: int = 32
    precision: Precision = "exact"
    base: str | None = None
    """What an adapter stands on, where that is said."""
    seed: int = 42


def attack(model: str, planned: AttackPlan) -> list[AttackOutcome]:
    """Plant every template in one irrelevant candidate of each query, one at a time, and rank it anew.

    Raises:
        InputError: The benchmark has several tasks, or no query with an irrelevant candidate beside another one.
    """
    refuse_several_processes()
    task = _task(planned)
    victims = drawn_victims(task.queries, task.qrels, task.documents, planned.seed)[: planned.queries]
    if not victims:
        raise InputError(
            f"{planned.benchmark} has no query with an irrelevant candidate beside another; take a larger --depth"
        )
    templates = [template for template in attack_templates() if template.part in planned.parts]
    found: list[AttackOutcome] = []
    for mode in planned.modes:
        asked = RankerSettings(
            model, mode, planned.max_reasoning_tokens, precision=planned.precision, base=planned.base, stored_fit=False
        )
        plain = open_reranker(asked)
        for guard in planned.guards:
            reranker = plain.guarded(guard)
            for victim in track(victims, what=f"{mode}, guard {guard}", unit="queries", total=len(victims)):
                found += tried_on(reranker, mode, victim, templates)
    return found


def as_row(planned: AttackPlan, tried: Sequence[AttackOutcome], model: str) -> dict[str, Any]:
    """What was done and what came of it, as plain data."""
    return {
        "model": model,
        "planned": {**asdict(planned), "benchmark": str(planned.benchmark)},
        "gains": [asdict(gain) for gain in gains(tried, seed=planned.seed)],
        "tried": [asdict(item) for item in tried],
    }


def _task(planned: AttackPlan) -> Task:
    tasks = load_evaluated(
        CandidateSettings(
            planned.benchmark,
            (planned.task,) if planned.task else (),
            planned.split,
            depth=planned.depth,
        ),
        reranking=True,
    )
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"{planned.benchmark} holds the tasks {names}; name one with --task")
    return tasks[0]
