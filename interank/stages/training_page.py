"""The page of a policy's training: its curves, and a table of rollouts that one can read. One file, without network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from interank.plots import Plot, read_log, training_curves
from interank.stages.validated import HEADS, sentences, table
from interank.tasks.protocol import Shown
from interank.types import grouped

# The plots' colours are variables of the page they stand in.
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#5b6570;--rule:#d5dae0;--paper:#fff;--gain:#1a7f4b;--loss:#b3261e;
--series-0:#2f6fb0;--series-1:#c2571a;--series-2:#2d8659;--series-3:#8e4a9e;--series-4:#a8842c;--series-5:#3a8f9c;
--series-6:#b23b66;--series-7:#5f6b7a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--muted:#a0a9b4;--rule:#3a424c;--paper:#14181d;--series-0:#7fb0e6;
--series-1:#f0a06a;--series-2:#7fcfa4;--series-3:#cf9bdc;--series-4:#dcc077;--series-5:#84cfda;--series-6:#ec8fb0;
--series-7:#aab4c0}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;
padding:1rem}
figure{display:inline-block;width:min(100%,26rem);margin:0 1rem 1rem 0;vertical-align:top}svg{width:100%}
figcaption,small{color:var(--muted);font-size:.85rem}table{border-collapse:collapse;width:100%;font-size:.85rem}
td,th{border-top:1px solid var(--rule);padding:.3rem .5rem;text-align:left;vertical-align:top}
pre{white-space:pre-wrap;margin:0;font:inherit;overflow-wrap:anywhere}.key{border-left:.9rem solid;padding-left:.3rem}
"""


def training_page(
    folder: Path, *, validation: Mapping[str, Any] | None, shown: Callable[[Mapping[str, Any]], Shown]
) -> str:
    """HTML of an artifact's `log.jsonl` and `rollouts.jsonl`; all that models and people wrote is shown as text.

    Args:
        folder: Where the two files are; a missing one leaves its part out.
        validation: What the manifest says of the policy's trials, if there were any.
        shown: What a rollout is of, as the task has it.
    """
    log, rollouts = folder / "log.jsonl", folder / "rollouts.jsonl"
    plots = training_curves(read_log(log)) if log.is_file() else []
    rows = [json.loads(line) for line in rollouts.read_text("utf-8").splitlines()] if rollouts.is_file() else []
    steps = sorted({row["step"] for row in rows})
    colours = "".join(f".s{n}{{border-color:var(--series-{n})}}" for n in range(8))
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width"><title>interank rl</title>',
        f"<style>{_STYLE}{colours}</style><h1>A policy's training</h1>",
        _validated(validation) if validation else "",
        *map(_figure, plots),
        "<h2>Rollouts</h2><p>Completions of one query at a time, with what each reward gave them. The advantage is "
        "that of the first token and of the last.</p>",
        *(_step(step, [row for row in rows if row["step"] == step], shown) for step in steps),
    ]
    return "\n".join(parts) + "</html>\n"


def _validated(found: Mapping[str, Any]) -> str:
    told = " ".join(map(escape, sentences(found)))
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEADS)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table(found))
    return f"<p>{told}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _figure(plot: Plot) -> str:
    keys = " ".join(f'<span class="key s{colour % 8}">{escape(name)}</span>' for colour, name in plot.legend)
    return (
        f"<figure><strong>{escape(plot.title)}</strong>{plot.svg}<div><small>{keys}</small></div>"
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
    )


def _step(step: int, rows: Sequence[Mapping[str, Any]], shown: Callable[[Mapping[str, Any]], Shown]) -> str:
    names = list(rows[0]["rewards"])
    judged = [] if shown(rows[0]).judged is None else ["judged"]
    heads = "".join(f"<th>{escape(name)}</th>" for name in [*judged, "completion", *names, "advantage"])
    parts = [f"<details><summary>Step {step}</summary><p>{_text(rows[0]['query'])}</p>"]
    for items in grouped(rows, lambda row: str(row.get("doc_id", ""))).values():
        asked = shown(items[0])
        body = "".join(_row(row, names, asked.judged) for row in items)
        earns = items[0].get("earns")
        if earns:
            parts.append(f"<p>Grades 0, 1 and 2 would earn {', '.join(f'{value:.2f}' for value in earns)}.</p>")
        parts.append(f"{_asked(asked)}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")
    return "".join([*parts, "</details>"])


def _asked(shown: Shown) -> str:
    return f"<details><summary>{escape(shown.title)}</summary>{''.join(map(_text, shown.texts))}</details>"


def _row(row: Mapping[str, Any], names: Sequence[str], judged: str | None) -> str:
    values = [row["rewards"][name] for name in names]
    cells = [] if judged is None else [judged]
    cells += [row["completion"], *("—" if v is None else f"{v:.2f}" for v in values)]
    cells.append(" / ".join(f"{value:+.2f}" for value in row["advantage"]))
    return "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"


def _text(value: str) -> str:
    return f"<pre>{escape(value)}</pre>"
