"""The evaluation's report in Markdown: the setup, the tables, one example ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interank import cards
from interank.evaluation import tables
from interank.evaluation.scoring import Results
from interank.evaluation.tables import Rows, one_line
from interank.types import RankedDocument


def markdown(
    results: Results,
    costs: Mapping[str, Mapping[str, Any]],
    measures: Sequence[str],
    facts: Mapping[str, Any],
    notes: Sequence[str],
    shown: str,
) -> str:
    """The report in Markdown.

    Args:
        results: The scores.
        costs: By system, the mean cost of a query.
        measures: The measures; the first is the headline measure.
        facts: The benchmark, its tasks and the mode, listed at the top.
        notes: Warnings to show beside the figures.
        shown: An example ranking, or an empty string.
    """
    first, metrics = measures[0], results.metrics
    seconds = {name: cost["seconds"] for name, cost in costs.items()}
    lines = ["# Evaluation", "", *(_item(f"{name}: {one_line(str(value), 500)}") for name, value in facts.items())]
    lines += ["", tables.markdown(tables.systems(metrics, seconds, first)), "", tables.METHOD]
    lines += ["", *(_item(one_line(note, 1000)) for note in notes)] if notes else []
    for title, rows in sections(results, costs, measures).items():
        lines += ["", f"## {title}", "", tables.markdown(rows)]
    if shown:
        # Indented, not fenced: no document's text can end an indented block.
        lines += ["", "## One ranking", "", *(f"    {line}" for line in shown.splitlines())]
    return "\n".join(lines) + "\n"


def _item(text: str) -> str:
    """A list item; markup in its task names and run tags is escaped."""
    return f"- {cards.name(text)}"


def sections(results: Results, costs: Mapping[str, Mapping[str, Any]], measures: Sequence[str]) -> dict[str, Rows]:
    """The tables below the first one, by title; empty tables are left out."""
    first, metrics = measures[0], results.metrics
    titled = {
        "By task": tables.by_task(metrics, first) if len(next(iter(metrics.values()))["tasks"]) > 1 else [],
        "Measures": tables.all_measures(metrics, measures) if len(measures) > 1 else [],
        "Comparisons": tables.comparisons(results.comparisons, first),
        "Calibration and explanations": tables.diagnoses(metrics),
        "Marks of explanations": tables.marks(metrics),
        "Fitted on other queries": tables.fitted(metrics),
        "Cost of a query": tables.costs(costs),
    }
    return {title: rows for title, rows in titled.items() if len(rows) > 1}


def example(
    query: str,
    ranking: Sequence[RankedDocument],
    texts: Mapping[str, str],
    gold: Mapping[str, int] | None = None,
    caption: str = "",
) -> str:
    """One ranking with its explanations, in plain text.

    Args:
        query: The query's text.
        ranking: The top documents, best first.
        texts: The texts by document id.
        gold: The qrels grades by document id; None without qrels.
        caption: A description of the ranking.
    """
    lines = [f"Query: {one_line(query)}", *([f"({caption})"] if caption else [])]
    for place, item in enumerate(ranking, start=1):
        judged = "" if gold is None else f", judged {gold[item.doc_id]}" if item.doc_id in gold else ", not judged"
        graded = f", relevance {int(item.relevance)}" if item.relevance is not None else ""
        graded += f", probability {item.probability:.2f}" if item.probability is not None else ""
        lines.append(
            f"{place:>3}. {one_line(item.doc_id)}  score {item.score:+.3f}{graded}{judged}: "
            f"{one_line(texts[item.doc_id])}"
        )
        if item.explanation is not None:
            lines.append(f"     why: {one_line(item.explanation, 400) or '(the model gave no explanation)'}")
    return "\n".join(lines)
