"""The evaluation's result in one sentence, and the table of results by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.evaluation.rankings import Evaluation
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM, Results
from interank.evaluation.tables import SIGNIFICANT, chance
from interank.plots import ink, new_axes, rendered, series_colour
from interank.wording import counted

MEAN = "mean of the tasks"


@dataclass(frozen=True, slots=True)
class Cell:
    """A system's value on a task, with its interval and the significance of its difference from the first stage."""

    value: str
    interval: str
    mark: str
    """`better` or `worse` than the first stage if p < .05 after correction, else empty."""
    p: str


@dataclass(frozen=True, slots=True)
class Line:
    """A task's row: a cell per system, and a strip plot of all systems from first stage to perfect order."""

    task: str
    queries: int
    cells: list[Cell]
    strip: str


def best_system(results: Results, systems: Sequence[str], measure: str) -> str | None:
    """The system with the highest mean, first stage excluded; None if there is no other."""
    ranking = [name for name in systems if name != FIRST_STAGE]
    return max(ranking, key=lambda name: float(results.metrics[name][measure]["mean"]), default=None)


def claim(evaluation: Evaluation, results: Results, measure: str, *, run: Path | None = None) -> list[tuple[str, bool]]:
    """The sentence in parts, each with True if it is emphasised; `run` is the candidates' file, if one was given."""
    name = best_system(results, list(evaluation.runs), measure)
    first = results.metrics[FIRST_STAGE][measure]
    if name is None:
        return [("The first stage alone reaches ", False), (f"{measure} {first['mean']:.4f}", True), (".", False)]
    value = results.metrics[name][measure]
    gain = value["gain"]
    where = _candidates(run, evaluation)
    chances = f" (95% interval {gain['low']:+.4f} to {gain['high']:+.4f}, p {_p(gain['p_corrected'])})"
    above = f"{gain['mean']:+.4f} over" if gain["mean"] >= 0 else f"{-gain['mean']:.4f} below"
    own = _own_documents(evaluation, name)
    if own:
        # This system also retrieves, so the candidates' perfect order does not bound it.
        parts = [(name, True), (f" reaches {measure} ", False), (f"{value['mean']:.4f}", True), (", ", False)]
        parts += [(f"{above} the first stage", True), (f", {where}{chances}", False)]
    else:
        parts = [(name, True), (f" reranks {where} to {measure} ", False), (f"{value['mean']:.4f}", True)]
        parts += [(", ", False), (f"{above} the first stage", True), (chances, False)]
    if gain["p_corrected"] >= SIGNIFICANT:
        parts.append((": a difference that chance could have made", False))
    way = results.metrics[PERFECT][measure]["mean"] - first["mean"]
    if own:
        parts.append((f". It ranks documents of its own: {own:.0%} of them are not among the candidates", False))
    elif gain["mean"] > 0 and way > 0:
        parts.append((f". That is {gain['mean'] / way:.0%} of the way to their perfect order", False))
    return [*parts, (".", False)]


def _own_documents(evaluation: Evaluation, name: str) -> float:
    """The share of a system's documents that are not among the candidates."""
    ranked = own = 0
    for task in evaluation.tasks:
        run = evaluation.runs[name][task.name]
        for query in task.queries:
            documents = run.scores(query.query_id) if query.query_id in run else {}
            candidates = task.candidates.scores(query.query_id) if query.query_id in task.candidates else {}
            ranked += len(documents)
            own += len(documents) - sum(map(candidates.__contains__, documents))
    return own / ranked if ranked else 0.0


def _candidates(run: Path | None, evaluation: Evaluation) -> str:
    """The source of the candidates, with the numbers of queries and tasks and the depth."""
    source = str(evaluation.tasks[0].facts["first_stage"])
    if run is not None:
        origin = f"the candidates of {run.name}"
    elif source.startswith("run "):
        origin = "the candidates that come with the benchmark"
    else:
        origin = f"the candidates of {source}"
    queries = sum(len(task.queries) for task in evaluation.tasks)
    where = f"{counted(len(evaluation.tasks), 'task')}" if len(evaluation.tasks) > 1 else evaluation.tasks[0].name
    return f"{origin} ({queries:,} queries of {where}, top {evaluation.tasks[0].facts['depth']})"


def _p(value: float) -> str:
    shown = chance(value)
    return shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"


def glance(evaluation: Evaluation, results: Results, measure: str) -> tuple[list[str], list[Line]]:
    """The systems with the first stage, random and perfect order, and a line for the mean and for each task."""
    systems = [*evaluation.runs, RANDOM, PERFECT]
    metrics = results.metrics
    shown = [each[measure] for name in systems for each in (metrics[name], *metrics[name]["tasks"].values())]
    ends = (min(float(each["low"]) for each in shown), max(float(each["high"]) for each in shown))
    lines = []
    if len(evaluation.tasks) > 1:
        values = [metrics[name][measure] for name in systems]
        chances = {name: metrics[name][measure].get("gain", {}) for name in evaluation.runs}
        lines.append(_line(MEAN, metrics[FIRST_STAGE]["queries"], systems, values, chances, ends))
    for task in evaluation.tasks:
        values = [metrics[name]["tasks"][task.name][measure] for name in systems]
        against = _against_first(results, task.name, measure)
        lines.append(_line(task.name, len(task.queries), systems, values, against, ends))
    return systems, lines


def _against_first(results: Results, task: str, measure: str) -> dict[str, Mapping[str, Any]]:
    return {
        item["system"]: item["tasks"][task]
        for item in results.comparisons
        if item["measure"] == measure and item["against"] == FIRST_STAGE
    }


def _line(
    task: str,
    queries: int,
    systems: Sequence[str],
    values: Sequence[Mapping[str, float]],
    chances: Mapping[str, Mapping[str, Any]],
    ends: tuple[float, float],
) -> Line:
    cells = []
    for name, value in zip(systems, values, strict=True):
        about = chances.get(name, {})
        mark = ""
        if about.get("p_corrected", 1.0) < SIGNIFICANT:
            mark = "better" if about["mean"] > 0 else "worse"
        p = chance(about["p_corrected"]) if "p_corrected" in about else ""
        interval = f"{value['low']:.4f} to {value['high']:.4f}"
        cells.append(Cell(f"{value['mean']:.4f}", interval, mark, p))
    return Line(task, queries, cells, _strip(task, values, ends))


def _strip(task: str, values: Sequence[Mapping[str, float]], ends: tuple[float, float]) -> str:
    """The first stage as a ring, the perfect order as a bar, the systems between as dots with their intervals."""
    axes = new_axes(220, 30, bare=True)
    margin = 0.03 * (ends[1] - ends[0]) or 1.0
    axes.set(xlim=(ends[0] - margin, ends[1] + margin), ylim=(-1, 1))
    first, *systems, _, perfect = values
    axes.plot([first["mean"], perfect["mean"]], [0, 0], color=ink("rule"), linewidth=3, solid_capstyle="butt")
    axes.plot([perfect["mean"]] * 2, [-0.5, 0.5], color=ink("muted"), linewidth=1.4)
    shift = 0.9 / max(1, len(systems))
    for number, value in enumerate(systems):
        height = shift * ((len(systems) - 1) / 2 - number)
        axes.plot([value["low"], value["high"]], [height] * 2, color=series_colour(number), linewidth=1)
        axes.plot([value["mean"]], [height], "o", color=series_colour(number), markersize=4.5, markeredgewidth=0)
    axes.plot([first["mean"]], [0], "o", color=ink("muted"), markerfacecolor=ink("paper"), markersize=5)
    return rendered(axes, f"strip-{task}")
