"""attack: how many ranks irrelevant documents gain by attacks on the judge, with and without a guard."""

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
    """The documents to attack, the attacks, and the modes and guards of the reranker."""

    benchmark: Path
    task: str | None = None
    split: str | None = None
    queries: int = 20
    depth: int = 10
    """Candidates of each query; one irrelevant candidate is attacked at a time."""
    modes: tuple[Mode, ...] = ("score",)
    guards: tuple[Guard, ...] = ("none", "fence")
    parts: tuple[Part, ...] = ("practice", "held_out", "control")
    max_reasoning_tokens: int = 32
    precision: Precision = "exact"
    base: str | None = None
    """The base model of an adapter, where the caller names one."""
    seed: int = 42


def attack(model: str, plan: AttackPlan) -> list[AttackOutcome]:
    """Insert each attack template into one irrelevant candidate of each query, and rank the candidates again.

    Raises:
        InputError: The benchmark has several tasks, or no query with an irrelevant candidate beside another one.
    """
    refuse_several_processes()
    task = _task(plan)
    victims = drawn_victims(task.queries, task.qrels, task.documents, plan.seed)[: plan.queries]
    if not victims:
        raise InputError(
            f"{plan.benchmark} has no query with an irrelevant candidate and another one; give a larger --depth"
        )
    templates = [template for template in attack_templates() if template.part in plan.parts]
    outcomes: list[AttackOutcome] = []
    for mode in plan.modes:
        settings = RankerSettings(
            model, mode, plan.max_reasoning_tokens, precision=plan.precision, base=plan.base, stored_fit=False
        )
        plain = open_reranker(settings)
        for guard in plan.guards:
            reranker = plain.guarded(guard)
            for victim in track(victims, what=f"{mode}, guard {guard}", unit="queries", total=len(victims)):
                outcomes += tried_on(reranker, mode, victim, templates)
    return outcomes


def as_row(plan: AttackPlan, tried: Sequence[AttackOutcome], model: str) -> dict[str, Any]:
    """The plan and its outcomes as plain data."""
    return {
        "model": model,
        "planned": {**asdict(plan), "benchmark": str(plan.benchmark)},
        "gains": [asdict(gain) for gain in gains(tried, seed=plan.seed)],
        "tried": [asdict(item) for item in tried],
    }


def _task(plan: AttackPlan) -> Task:
    tasks = load_evaluated(
        CandidateSettings(
            plan.benchmark,
            (plan.task,) if plan.task else (),
            plan.split,
            depth=plan.depth,
        ),
        reranking=True,
    )
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks)
        raise InputError(f"{plan.benchmark} holds the tasks {names}; name one with --task")
    return tasks[0]
