"""The page of a training: its headline, trials and curves, what the policy wrote, and what it was made from."""

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
from interank.stages.answer_history import AnswerHistory, followed
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
    """The log of a training, as far as its lines are whole where it is still being written; none where it has none.

    Raises:
        InputError: A whole line is not a JSON object.
    """
    log, tried = (
        read_log(folder / name, whole_lines=running) if (folder / name).is_file() else [] for name in (LOG, TRIALS)
    )
    # The trial before the first step is in no log of steps.
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
    """HTML that needs nothing else; all that models and people wrote is shown as text.

    Args:
        training: What is told of it.
        folder: Where its `rollouts.jsonl` and `answers.jsonl` are, if it has them.
        shown: What a completion is of, as the task has it; without it completions are left out.
        refresh: After how many seconds a browser reads it anew; None never.
        compared: The table of a reward model's held-out pairs, its head first.
    """
    style = asset("house.css", "training.css")
    found = training.notes.get("validation")
    heads, *figures = [HEADS, *table(found)] if found else compared or [("step", "nDCG@10"), *_tried(training)]
    page = _environment().from_string(asset("training.html.jinja"))
    return page.render(
        stage=training.stage,
        style=Markup(style),  # ours, from the package
        style_hash=content_hash(style),
        refresh=refresh,
        headline=headline(training),
        told=sentences(training),
        validated=validated(found) if found else [],
        heads=heads,
        rows=figures,
        plots=training_curves(training.log, control=training.control or ()),
        steps=list(steps(_rows(folder / ROLLOUTS), shown)) if shown is not None else [],
        followed=_most_changed(followed(_rows(folder / ANSWERS), shown)) if shown is not None else [],
        lineage=_lineage(training),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """Completions that a training wrote down; one that goes on may be writing the last line."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else ()
    return [json.loads(line) for line in lines if line]


def _most_changed(found: Iterable[AnswerHistory]) -> list[AnswerHistory]:
    """Those of which there is most to see first."""
    return sorted(found, key=lambda each: -len(each.versions))


def _tried(training: Training) -> list[tuple[str, ...]]:
    return [(str(each.step), f"{each.value:.3f}") for each in trials(training.log)]


def _lineage(training: Training) -> list[tuple[str, str]]:
    """What it was made from, by name."""
    told = {**training.notes, **training.counts}
    keys = ("base", "base_weights", "quantisation", "device", "steps", "modes", "prompt_hash")
    rows = [(key.replace("_", " "), _plain(told[key])) for key in keys if told.get(key) is not None]
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
