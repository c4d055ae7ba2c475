"""The evaluation as text: the table of systems, one example ranking, and the Markdown report that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interank.types import RankedDocument

_EXCERPT = 160


def table(
    metrics: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float | None], measure: str
) -> list[list[str]]:
    """Header and rows: system, the measure with its interval, gain over the first stage, queries, seconds per query."""
    rows = [["system", measure, "95% interval", "vs first stage", "queries", "s/query"]]
    for name, system in metrics.items():
        value, cost = system[measure], seconds.get(name)
        gain = value.get("gain")
        rows.append(
            [
                name,
                f"{value['mean']:.4f}",
                f"{value['low']:.4f} to {value['high']:.4f}",
                f"{gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})" if gain else "",
                str(system["queries"]),
                "" if cost is None else f"{cost:.3f}",
            ]
        )
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of equal width, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def example(query: str, ranking: Sequence[RankedDocument], texts: Mapping[str, str], gold: Mapping[str, int]) -> str:
    """One ranking with its explanations, in plain text."""
    lines = [f"Query: {_one_line(query)}"]
    for place, item in enumerate(ranking, start=1):
        judged = f", judged {gold[item.doc_id]}" if item.doc_id in gold else ""
        lines.append(
            f"{place:>3}. {_one_line(item.doc_id)}  score {item.score:+.3f}, relevance {int(item.relevance)}{judged}: "
            f"{_one_line(texts[item.doc_id])}"
        )
        if item.explanation is not None:
            lines.append(f"     why: {_one_line(item.explanation, 400) or '(the model gave no explanation)'}")
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]], shown: str, facts: Mapping[str, Any]) -> str:
    """The report: what was measured, on what, the table, the example."""
    head, *body = rows
    lines = ["# Evaluation", ""]
    lines += [f"- {name}: {_one_line(str(value))}" for name, value in facts.items()]
    lines += ["", _cells(head), f"|{'|'.join('---' for _ in head)}|", *map(_cells, body)]
    lines += [
        "",
        "Intervals are 95% bootstrap intervals over queries (10,000 resamples); differences are paired by query.",
    ]
    if shown:
        # Indented, not fenced: nothing that a document says can end the block.
        lines += ["", "## One ranking", "", *(f"    {line}" for line in shown.splitlines())]
    return "\n".join(lines) + "\n"


def _cells(row: Sequence[str]) -> str:
    escaped = [_one_line(cell).replace("|", "\\|") for cell in row]
    return f"| {' | '.join(escaped)} |"


def _one_line(text: str, length: int = _EXCERPT) -> str:
    line = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return line if len(line) <= length else f"{line[: length - 1]}…"
