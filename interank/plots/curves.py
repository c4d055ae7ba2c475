"""The curves of a training, from the log that it leaves: loss, rewards, validation, and what tells of its health."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.plots.drawing import new_axes, rendered, series_colour
from interank.plots.plot import Cell, Plot

Log = Sequence[Mapping[str, Any]]
"""Rows with `step` and figures by name, as the trainer logged them."""

# A drawing of more lines than this tells nothing.
_MOST = 8
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of an artifact's `log.jsonl`.

    Raises:
        InputError: A line is not a JSON object.
    """
    rows = []
    # Bytes: a string of JSON may hold what ends a line of text, as U+2028.
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number} is no JSON object, which each line of a training's log is; remove it")
        rows.append(row)
    return rows


def training_curves(log: Log) -> list[Plot]:
    """A plot for each kind of figure that the log holds over two steps or more.

    Args:
        log: Rows with `step`; where a training went on from a checkpoint, a step's last row counts.
    """
    lines = _lines(log)
    plots = []
    for name, title, caption, belongs in _KINDS:
        chosen = {key: points for key, points in lines.items() if belongs(key) and len(points) > 1}
        if chosen:
            plots.append(_plot(name, title, caption, dict(list(chosen.items())[:_MOST])))
    return plots


def _lines(log: Log) -> dict[str, dict[int, float]]:
    """By figure its values by step, in the order of the steps; what one ranks by first, the others by name.

    A training that was gone on with logs the same figures in another order.
    """
    lines: dict[str, dict[int, float]] = {}
    for row in log:
        for key, value in row.items():
            if key != "step" and isinstance(value, int | float) and math.isfinite(value):
                lines.setdefault(key, {})[int(row.get("step", 0))] = float(value)
    names = sorted(lines, key=lambda key: ("nDCG" not in key, key))
    return {key: dict(sorted(lines[key].items())) for key in names}


def _plot(name: str, title: str, caption: str, lines: Mapping[str, Mapping[int, float]]) -> Plot:
    from matplotlib.ticker import MaxNLocator

    axes = new_axes()
    for number, points in enumerate(lines.values()):
        dashes: Any = _DASHES[number % len(_DASHES)]
        marker = "o" if len(points) <= 12 else ""
        colour = series_colour(number)
        axes.plot(*zip(*points.items(), strict=True), color=colour, linestyle=dashes, marker=marker, markersize=3)
    axes.set_xlabel("optimiser step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.margins(x=0.02)
    steps = sorted({step for points in lines.values() for step in points})
    rows: list[list[Cell]] = [[step, *(points.get(step) for points in lines.values())] for step in steps]
    data: list[Sequence[Cell]] = [["step", *lines], *rows]
    return Plot(name, title, caption, rendered(axes, name), data, list(enumerate(lines)))


def _is_validation(key: str) -> bool:
    # Of the questions that report one line will do beside those that choose.
    reported = "/reported/" in key and "nDCG" not in key
    return key.startswith(("eval_", "validation")) and not key.endswith(("runtime", "_per_second")) and not reported


_KINDS: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    (
        "training-reward",
        "Reward",
        "The mean reward of a step's completions, together and by reward function. It should rise and then level; a "
        "part that falls while the whole rises was paid for with the others.",
        lambda key: key == "reward" or (key.startswith("rewards/") and key.endswith("/mean")),
    ),
    (
        "training-validation",
        "Validation",
        "What was measured on judgments that the training did not see. Where it turns while the training's own figures "
        "go on, the model began to learn its examples by heart.",
        _is_validation,
    ),
    (
        "training-loss",
        "Loss",
        "The training loss of each logged step. It means something for distillation; under GRPO it hovers around 0 "
        "whatever is learnt, so look at the reward there.",
        lambda key: key == "loss",
    ),
    (
        "training-drift",
        "Drift",
        "How far the policy moved from where it began (KL), and how undecided its answers are (entropy, in nats). "
        "Entropy near 0 leaves nothing to explore.",
        lambda key: key in ("kl", "entropy"),
    ),
)
