"""The evaluation's plots: gains by query, scores by relevance, reliability, risk and coverage, quality against cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

import numpy
from numpy.typing import NDArray

from interank.evaluation.rankings import Evaluation
from interank.evaluation.scoring import FIRST_STAGE, Results
from interank.ir.measures import judged_by_query
from interank.plots import Plot, ink, new_axes, rendered, series_colour

# At most this many systems are drawn.
_MOST = 6
_BINS = 60
# Weights that smooth histograms over neighbouring bins.
_SMOOTH = numpy.hanning(11)[1:-1] / numpy.hanning(11).sum()
# Space between tasks, as a share of all queries.
_GAP = 0.02

Costs = Mapping[str, Mapping[str, Any]]


def evaluation_plots(evaluation: Evaluation, results: Results, costs: Costs, measure: str) -> list[Plot]:
    """Every plot for which there is data."""
    ranking = [name for name in evaluation.runs if name != FIRST_STAGE][:_MOST]
    moved = [
        name for name in ranking if any(row[name][measure] != row[FIRST_STAGE][measure] for row in results.per_query)
    ]
    plots = [_gains(results, name, measure, number) for number, name in enumerate(moved)]
    # A system without any ranked document has no scores to plot.
    scored = [
        name for name in ranking if any(run.scores(query) for run in evaluation.runs[name].values() for query in run)
    ]
    plots += [_distribution(evaluation, name, number) for number, name in enumerate(scored)]
    measured = {name: each for name, each in results.metrics.items() if "calibration" in each}
    if measured:
        plots.append(_reliability(measured))
    sure = {name: each for name, each in results.metrics.items() if "risk_coverage" in each}
    if sure:
        plots.append(_risk(sure, measure))
    timed = {name: costs[name]["seconds"] for name in evaluation.runs if costs.get(name, {}).get("seconds")}
    if len(timed) > 1:
        plots.append(_cost(results, timed, measure))
    return plots


def _gains(results: Results, name: str, measure: str, number: int) -> Plot:
    """Each query's gain over the first stage, from the largest gain to the largest loss, task by task."""
    by_task: dict[str, list[tuple[float, str]]] = {}
    for row in results.per_query:
        by_task.setdefault(row["task"], []).append(
            (row[name][measure] - row[FIRST_STAGE][measure], row["query_id"]),
        )
    axes = new_axes()
    gap, start = _GAP * len(results.per_query), 0.0
    data: list[list[Any]] = [["task", "query_id", f"gain in {measure}"]]
    for place, (task, gains) in enumerate(by_task.items(), start=1):
        gains.sort(key=lambda gain: -gain[0])
        data += [[task, query_id, gain] for gain, query_id in gains]
        edges = [start + step for step in range(len(gains) + 1)]
        heights = [gain for gain, _ in gains]
        for sign, colour in ((1, ink("gain")), (-1, ink("loss"))):
            part = [sign * max(0.0, sign * height) for height in heights]
            if any(part):
                axes.stairs(part, edges, fill=True, color=colour, linewidth=0)
        if len(by_task) > 1:
            middle = (edges[0] + edges[-1]) / 2
            axes.annotate(
                str(place), (middle, 1), xycoords=("data", "axes fraction"), ha="center", color=ink("muted"), size=9
            )
        start = edges[-1] + gap
    axes.axhline(0, color=ink("muted"), linewidth=0.7)
    axes.set(xlabel="queries, by gain", ylabel=f"gain in {measure}", xticks=[])
    axes.margins(x=0.01)
    tasks = ", ".join(f"{place} {task}" for place, task in enumerate(by_task, start=1))
    caption = (
        "A bar a query: above the line it gains over the first stage, below it loses. Little area on both sides means "
        "that little moved; a mean can hide much of both."
    ) + (f" Tasks from left to right: {tasks}." if len(by_task) > 1 else "")
    title = f"Gain of each query: {name}"
    return Plot(f"gains-{number}", title, caption, rendered(axes, f"gains-{number}"), data)


def _distribution(evaluation: Evaluation, name: str, number: int) -> Plot:
    """The distribution of scores for documents of each grade."""
    groups, every = _by_grade(evaluation, name)
    sizes = {group: len(scores) for group, scores in groups.items()}
    ends = (float(every.min()), float(every.max()))
    counts = {group: numpy.histogram(scores, _BINS, ends)[0] for group, scores in groups.items()}
    if unjudged := len(every) - sum(sizes.values()):
        sizes = {"unjudged": unjudged} | sizes
        counts = {"unjudged": numpy.histogram(every, _BINS, ends)[0] - sum(counts.values())} | counts
    edges = numpy.histogram_bin_edges([], _BINS, ends).tolist()
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    axes = new_axes()
    for colour, count in enumerate(counts.values()):
        share = numpy.convolve(count / count.sum(), _SMOOTH, mode="same")
        axes.plot(middles, share, color=series_colour(colour), linewidth=1.6, linestyle=_DASHES[colour % 4])
    axes.set(xlabel="score", ylabel="share of the documents", ylim=(0, None))
    caption = (
        "For each grade of the qrels, how its documents' scores are spread, smoothed; each line holds one whole. The "
        "further to the right the higher grades lie and the less they overlap with the others, the better the scores "
        "part them."
    )
    rows: list[list[Any]] = [[edges[b], edges[b + 1], *(int(c[b]) for c in counts.values())] for b in range(_BINS)]
    legend = [(c, f"{group} ({size:,})") for c, (group, size) in enumerate(sizes.items())]
    data = [["from", "to", *(f"documents {group}" for group in sizes)], *rows]
    title = f"Scores by relevance: {name}"
    return Plot(f"scores-{number}", title, caption, rendered(axes, f"scores-{number}"), data, legend)


_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


def _by_grade(evaluation: Evaluation, name: str) -> tuple[dict[str, list[float]], NDArray[numpy.float64]]:
    """The scores of a system's judged documents by grade, and those of all its documents."""
    groups: dict[str, list[float]] = {}
    every = [(judged, scores) for judged, scores in _scores(evaluation, name) if scores]
    for judged, scores in every:
        for doc_id in judged.keys() & scores.keys():
            groups.setdefault(f"grade {judged[doc_id]}", []).append(scores[doc_id])
    values = chain.from_iterable(scores.values() for _, scores in every)
    return dict(sorted(groups.items())), numpy.fromiter(values, numpy.float64)


def _scores(evaluation: Evaluation, name: str) -> Iterator[tuple[Mapping[str, int], Mapping[str, float]]]:
    """For each ranked query, the qrels grades of judged documents, and the scores of ranked documents."""
    for task in evaluation.tasks:
        gold, run = judged_by_query(task.qrels), evaluation.runs[name][task.name]
        for query in task.queries:
            judged = gold.get(query.query_id, {})
            row = evaluation.rankings.get(name, {}).get((task.name, query.query_id))
            if row is not None:
                yield judged, {item["doc_id"]: item["score"] for item in row["ranking"]}
            elif query.query_id in run:
                yield judged, run.scores(query.query_id)


def _reliability(measured: Mapping[str, Mapping[str, Any]]) -> Plot:
    """The observed share of relevant documents over the predicted one, in ten bins."""
    axes = new_axes()
    axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=0.8, linestyle=(0, (3, 3)))
    data: list[list[Any]] = [["system", "from", "to", "documents", "predicted", "observed"]]
    for number, (name, system) in enumerate(measured.items()):
        bins = system["calibration"]["bins"]
        most = max(each["count"] for each in bins)
        across, up = [each["predicted"] for each in bins], [each["observed"] for each in bins]
        axes.plot(across, up, color=series_colour(number), linewidth=1.2, linestyle=_DASHES[number % 4])
        sizes = [12 + 60 * each["count"] / most for each in bins]
        axes.scatter(across, up, s=sizes, color=series_colour(number), linewidths=0)
        data += [[name, *(each[key] for key in ("low", "high", "count", "predicted", "observed"))] for each in bins]
    axes.set(xlabel="predicted probability of relevance", ylabel="share that is relevant", xlim=(0, 1), ylim=(0, 1))
    caption = (
        "Documents in ten bins by the probability that the model gave them. On the dotted diagonal a probability means "
        "what it says; below it the model is too sure. A larger dot stands for more documents."
    )
    return Plot("reliability", "Reliability", caption, rendered(axes, "reliability"), data, list(enumerate(measured)))


def _risk(measured: Mapping[str, Mapping[str, Any]], measure: str) -> Plot:
    """The risk over the share of queries answered, most confident first."""
    axes = new_axes()
    data: list[list[Any]] = [["system", "queries answered", "coverage", "risk"]]
    for number, (name, system) in enumerate(measured.items()):
        risks = system["risk_coverage"]["risks"]
        coverage = [count / len(risks) for count in range(1, len(risks) + 1)]
        axes.plot(coverage, risks, color=series_colour(number), linewidth=1.4, linestyle=_DASHES[number % 4])
        data += [[name, place, share, risk] for place, (share, risk) in enumerate(zip(coverage, risks, strict=True), 1)]
    axes.set(xlabel="share of the queries answered, surest first", ylabel=f"1 - {measure}", xlim=(0, 1))
    caption = (
        "If only the queries were answered on which the model is surest, this much would be lost on them. A line that "
        "rises to the right says that its confidence is worth something; a level one, that it is not."
    )
    return Plot("risk", "Risk and coverage", caption, rendered(axes, "risk"), data, list(enumerate(measured)))


def _cost(results: Results, timed: Mapping[str, float], measure: str) -> Plot:
    """The measure with its interval over the seconds per query."""
    axes = new_axes()
    data: list[list[Any]] = [["system", "seconds per query", measure, "low", "high"]]
    for number, (name, seconds) in enumerate(timed.items()):
        value = results.metrics[name][measure]
        bars = [[value["mean"] - value["low"]], [value["high"] - value["mean"]]]
        axes.errorbar([seconds], [value["mean"]], yerr=bars, fmt="o", color=series_colour(number), linewidth=1.2)
        data.append([name, seconds, value["mean"], value["low"], value["high"]])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set(xlabel="seconds a query (each mark ten times the one before)", ylabel=measure)
    axes.margins(x=0.1)
    caption = (
        "Up is better, left is cheaper; the bars are 95% intervals. A system to the right of and below another is not "
        "worth its time. Stored runs are left out, since their cost is unknown."
    )
    return Plot("cost", "Quality against cost", caption, rendered(axes, "cost"), data, list(enumerate(timed)))
