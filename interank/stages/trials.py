"""A policy's trials in words and a table, for its card and its page: chosen by one half, reported on the other."""

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


def table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows under `HEADS`: the questions that report before those that chose."""
    names = [prefix + name for prefix in (REPORTED, "") for name in _FIGURES if prefix + name in found["start"]]
    trials = [found[when] for when in ("start", "best", "last")]
    return [(_worded(name, found), *(f"{trial[name]:.3f}" for trial in trials)) for name in names]


def _worded(name: str, found: Mapping[str, Any]) -> str:
    if name.startswith(REPORTED):
        return f"{name.removeprefix(REPORTED)}, questions that report"
    # The form of answers is that of all questions.
    halved = f"{REPORTED}{name}" in found["start"]
    return f"{name}, questions that chose" if halved else name


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Which adapter was kept and why, what its figures are of, and what stopped the training."""
    told = [f"The adapter is that of step {found['best']['step']}, the best {DEFAULT_MEASURE} of those that were tried"]
    limit = found["calibration_limit"]
    told[0] += "." if limit is None else f" and whose calibration error is at most {limit:.3f}."
    chose, report = found["questions"]["choosing"], found["questions"]["reporting"]
    if report:
        told.append(
            f"It was chosen on {chose} validation questions; {report} others, by which nothing was chosen, say how "
            "good it is."
        )
    else:
        told.append(
            f"There were {chose} validation questions, fewer than the {LEAST} that are halved: the figures are of the "
            "questions that chose the adapter, and flatter it."
        )
    if found["stopped"]:
        told.append(f"The training was stopped by a sign of collapse: {found['stopped']}.")
    return told
