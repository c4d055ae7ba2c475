"""The page of a training: headline, trials, curves, rollouts, answers and lineage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from interank.pages import asset, content_hash, visible
from interank.plots import read_log, training_curves
from interank.stages.answer_history import AnswerHistory, histories
from interank.stages.rollout_view import steps
from interank.stages.training_summary import Log, Training, headline, sentences, trials
from interank.stages.trials import HEADS, table
from interank.stages.trials import sentences as validated
from interank.tasks.protocol import ShownPrompt

ROLLOUTS = "rollouts.jsonl"
LOG = "log.jsonl"
TRIALS = "trials.jsonl"
ANSWERS = "answers.jsonl"
PREFIX = "validation/"


def read_training(folder: Path, *, running: bool = False) -> Log:
    """The log of a training, empty if there is none. A running training's last line is left out if it is incomplete.

    Raises:
        InputError: A whole line is not a JSON object.
    """
    log, tried = (
        read_log(folder / name, whole_lines=running) if (folder / name).is_file() else [] for name in (LOG, TRIALS)
    )
    # `log.jsonl` lacks the trial before the first step; `trials.jsonl` has it.
    known = {row.get("step") for row in log if any(key.startswith(PREFIX) for key in row)}
    begun = [
        {key if key == "step" else f"{PREFIX}{key}": value for key, value in row.items()}
        for row in tried
        if row["step"] not in known
    ]
    return [*begun, *log]


def training_page(
    training: Training,
    folder: Path,
    *,
    shown: Callable[[Mapping[str, Any]], ShownPrompt] | None = None,
    refresh: int | None = None,
    compared: Sequence[Sequence[str]] = (),
) -> str:
    """The page as one HTML file; texts of models and people are shown as text.

    Args:
        training: The training.
        folder: The folder of its `rollouts.jsonl` and `answers.jsonl`, if it has them.
        shown: Gives the prompt of a completion, as the task shows it; without it completions are left out.
        refresh: Seconds until a browser reloads the page; None never.
        compared: The table of a reward model's held-out pairs, header first.
    """
    style = asset("house.css", "training.css")
    validation = training.notes.get("validation")
    heads, *figures = (
        [HEADS, *table(validation)] if validation else compared or [("step", "nDCG@10"), *_tried(training)]
    )
    page = _environment().from_string(asset("training.html.jinja"))
    return page.render(
        stage=training.stage,
        style=Markup(style),  # ours, from the package
        style_hash=content_hash(style),
        refresh=refresh,
        headline=headline(training),
        told=sentences(training),
        validated=validated(validation) if validation else [],
        heads=heads,
        rows=figures,
        plots=training_curves(training.log, control=training.control or ()),
        steps=list(steps(_rows(folder / ROLLOUTS), shown)) if shown is not None else [],
        followed=_most_changed(histories(_rows(folder / ANSWERS), shown)) if shown is not None else [],
        lineage=_lineage(training),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of completions; a last line that is still being written is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else ()
    return [json.loads(line) for line in lines if line]


def _most_changed(histories: Iterable[AnswerHistory]) -> list[AnswerHistory]:
    """The histories, those with most versions first."""
    return sorted(histories, key=lambda each: -len(each.versions))


def _tried(training: Training) -> list[tuple[str, ...]]:
    return [(str(each.step), f"{each.value:.3f}") for each in trials(training.log)]


def _lineage(training: Training) -> list[tuple[str, str]]:
    """The training's inputs and settings by name."""
    facts = {**training.notes, **training.counts}
    keys = ("base", "base_weights", "quantisation", "device", "steps", "modes", "prompt_hash")
    rows = [(key.replace("_", " "), _plain(facts[key])) for key in keys if facts.get(key) is not None]
    rows += [(name, str(training.recipe[name])) for name in ("judgments", "adapter") if training.recipe.get(name)]
    rows += [
        ("rewards", ", ".join(f"{each['use']} x {each['weight']:g}" for each in training.recipe.get("rewards", ())))
    ]
    return [(name, value) for name, value in rows if value]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@cache
def _environment() -> Environment:
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["visible"] = visible
    return made
