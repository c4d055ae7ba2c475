"""Training curves from a training's log: loss, rewards, validation, and signs of trouble."""

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

# The most lines in one plot.
_MOST = 8
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


def read_log(path: Path, *, whole_lines: bool = False) -> list[dict[str, Any]]:
    """The rows of an artifact's `log.jsonl`; `whole_lines` skips a last line without a newline, which may be partial.

    Raises:
        InputError: A line is not a JSON object.
    """
    rows = []
    # Split bytes, not text: a JSON string may hold line separators such as U+2028.
    content = path.read_bytes()
    if whole_lines:
        content = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number} is no JSON object, and each line of a training log has to be; remove it")
        rows.append(row)
    return rows


def training_curves(log: Log, *, control: Log = ()) -> list[Plot]:
    """A plot for each kind of figure that the log has for at least two steps.

    Args:
        log: Rows with `step`; if a resumed training logged a step twice, its last row counts.
        control: The log of the same training on shuffled grades, whose reward and nDCG are drawn on the same axes.
    """
    lines, control_lines = _lines(log), _lines(control)
    plots = []
    for name, title, caption, belongs in _KINDS:
        chosen = {key: points for key, points in lines.items() if belongs(key) and len(points) > 1}
        if chosen:
            drawn = dict(list(chosen.items())[:_MOST])
            shuffled = {
                f"{key}, control": control_lines[key]
                for key in drawn
                if key in control_lines and (key == "reward" or "nDCG" in key)
            }
            plots.append(_plot(name, title, caption, {**drawn, **shuffled}))
    return plots


def _lines(log: Log) -> dict[str, dict[int, float]]:
    """Each figure's values by step, in the order of steps; nDCG figures first, the others by name.

    The order is fixed here, since a resumed training logs its figures in another order.
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


# Trial figures with a plot of their own.
_APART = ("calibration_error", "grade_entropy", "grade_kl", "explanation_words")


def _is_tried(key: str) -> bool:
    # Of the questions that are only reported, plot nDCG alone.
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
        lambda key: _is_tried(key) and not key.endswith(_APART),
    ),
    (
        "training-loss",
        "Loss",
        "The training loss of each logged step. It means something for distillation; under GRPO it hovers around 0 "
        "whatever is learnt, so look at the reward there.",
        lambda key: key == "loss",
    ),
    (
        "training-calibration",
        "Calibration error",
        "How far the grades' probabilities are from how often they are right. Low is good; where it rises while the "
        "reward does, grades become certain without becoming right.",
        lambda key: _is_tried(key) and key.endswith("calibration_error"),
    ),
    (
        "training-grades",
        "How undecided grades are",
        "The entropy of the three grades on validation pairs, in nats; 1.10 is no opinion. A fall to a tenth of the "
        "start's is polarisation: all grades certain.",
        lambda key: _is_tried(key) and key.endswith("grade_entropy"),
    ),
    (
        "training-tokens",
        "How undecided words are",
        "The entropy of the tokens that are sampled, in nats. Near 0 all completions of a document are alike, and "
        "nothing is left to choose from.",
        lambda key: key == "entropy",
    ),
    (
        "training-drift",
        "Drift",
        "How far the policy moved from where it began (KL, in nats). It should rise slowly and level; a steep rise "
        "asks for a smaller learning rate or a larger beta.",
        lambda key: key in ("kl", "kl/grade") or (_is_tried(key) and key.endswith("grade_kl")),
    ),
    (
        "training-length",
        "Length",
        "Tokens of a completion, and words of an explanation. Where both grow with the reward, length may be what is "
        "paid for; read the rollouts.",
        lambda key: key == "completions/mean_length" or (_is_tried(key) and key.endswith("explanation_words")),
    ),
    (
        "training-time",
        "Where a step's time went",
        "Seconds of sampling, rewards, update, and handing over the adapter. The largest is what to make faster.",
        lambda key: key.startswith("seconds/"),
    ),
)
