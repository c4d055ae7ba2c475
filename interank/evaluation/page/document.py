"""The page as one HTML file: template, style and script allowed by their hashes, all data escaped as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from interank import __version__
from interank.evaluation import tables
from interank.evaluation.page.advice import next_steps, undecided
from interank.evaluation.page.claim import claim, glance
from interank.evaluation.page.plots import evaluation_plots
from interank.evaluation.page.provenance import Provenance, sections, today, training_logs
from interank.evaluation.page.rankings import browser_blocks
from interank.evaluation.rankings import Evaluation, Scoring
from interank.evaluation.report import sections as report_sections
from interank.evaluation.scoring import Results
from interank.pages import RANKING_SCRIPTS, RANKING_STYLES, asset, content_hash, programme, visible
from interank.plots import Plot, comma_separated, training_curves
from interank.wording import counted

_PACKAGE = "interank.evaluation.page"
_STYLES = ("page.css", "browser.css", "print.css")
_SCRIPTS = ("blocks.js", "choice.js", "queries.js", "rankings.js", "reading.js", "start.js")


def write_page(
    path: Path,
    scoring: Scoring,
    evaluation: Evaluation,
    results: Results,
    costs: Mapping[str, Mapping[str, Any]],
    provenance: Provenance,
) -> None:
    """Write the report of an evaluation as one self-contained file."""
    measure = scoring.measures[0]
    seconds = {name: cost["seconds"] for name, cost in costs.items()}
    blocks, texts = browser_blocks(evaluation, results, measure)
    systems, lines = glance(evaluation, results, measure)
    curves = {name: training_curves(log) for name, log in training_logs(provenance.adapters).items()}
    style = asset(*RANKING_STYLES) + asset(*_STYLES, package=_PACKAGE)
    script = programme(asset(*RANKING_SCRIPTS), asset(*_SCRIPTS, package=_PACKAGE))
    page = _environment().from_string(asset("page.html.jinja", package=_PACKAGE))
    rendered = page.render(
        title=_title(evaluation),
        measure=measure,
        claim=claim(evaluation, results, measure, run=scoring.run),
        systems=systems,
        lines=lines,
        undecided=undecided(evaluation, results, measure),
        next_steps=next_steps(evaluation, results, measure),
        plots=evaluation_plots(evaluation, results, costs, measure),
        curves={name: plots for name, plots in curves.items() if plots},
        figures={"Systems": tables.systems(results.metrics, seconds, measure)}
        | report_sections(results, costs, scoring.measures),
        method=tables.METHOD,
        notes=evaluation.notes,
        provenance=sections(provenance, scoring, evaluation.tasks),
        command=provenance.command,
        made=today(),
        version=__version__,
        has_text=bool(texts.blocks),
        cut=texts.cut,
        style=Markup(style),  # ours, from the package
        script=Markup(script),
        style_hash=content_hash(style),
        script_hash=content_hash(script),
        blocks=[*blocks, *texts.blocks],
    )
    path.write_text(rendered, "utf-8")


def _title(evaluation: Evaluation) -> str:
    names = [task.name for task in evaluation.tasks]
    return ", ".join(names) if len(names) <= 3 else f"{counted(len(names), 'task')}"


@cache
def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["visible"] = visible
    environment.filters["data_url"] = _data_url
    return environment


def _data_url(plot: Plot) -> str:
    data = base64.b64encode(comma_separated(plot.data).encode("utf-8", "replace")).decode("ascii")
    return f"data:text/csv;charset=utf-8;base64,{data}"
