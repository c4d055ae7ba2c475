"""A policy's trials in sentences and a table, for its card and its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interank.ir.measures import DEFAULT_MEASURE
from interank.training.halves import LEAST, REPORTED

_FIGURES = (
    DEFAULT_MEASURE,
    "grade_accuracy",
    "calibration_error",
    "grade_entropy",
    "explanation_words",
    "format_rate",
    "whole_rate",
)
HEADS = ("measure", "start", "kept", "last")


def table(validation: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows under `HEADS`: the reporting questions first, then the choosing ones."""
    names = [prefix + name for prefix in (REPORTED, "") for name in _FIGURES if prefix + name in validation["start"]]
    trials = [validation[when] for when in ("start", "best", "last")]
    return [(_worded(name, validation), *(f"{trial[name]:.3f}" for trial in trials)) for name in names]


def _worded(name: str, validation: Mapping[str, Any]) -> str:
    if name.startswith(REPORTED):
        return f"{name.removeprefix(REPORTED)}, questions that report"
    # Rates of the answers' form are of all questions.
    halved = f"{REPORTED}{name}" in validation["start"]
    return f"{name}, questions that chose" if halved else name


def sentences(validation: Mapping[str, Any]) -> list[str]:
    """Sentences on the kept adapter, the questions behind the figures, and what stopped the training."""
    lines = [
        f"The adapter is that of step {validation['best']['step']}, the best {DEFAULT_MEASURE} of those that were tried"
    ]
    limit = validation["calibration_limit"]
    lines[0] += "." if limit is None else f" and whose calibration error is at most {limit:.3f}."
    chose, report = validation["questions"]["choosing"], validation["questions"]["reporting"]
    if report:
        lines.append(
            f"It was chosen on {chose} validation questions; {report} others, by which nothing was chosen, say how "
            "good it is."
        )
    else:
        lines.append(
            f"There were {chose} validation questions, fewer than the {LEAST} that are halved: the figures are of the "
            "questions that chose the adapter, and flatter it."
        )
    if validation["stopped"]:
        lines.append(f"The training was stopped by a sign of collapse: {validation['stopped']}.")
    return lines
