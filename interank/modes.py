"""The names of a reranker's modes and guards, and what each mode can be combined with.

A task's recipe lists the modes of its ranker (`interank.tasks.TASK_MODES`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

FittedMode = Literal["score", "reason"]
"""The modes with scores of their own, which `interank fit` can fit."""

GradedMode = Literal["score", "explain", "reason"]
"""`score` grades by one forward pass; `explain` also explains the grades of the top documents; `reason` explains
before it grades."""

ListMode = Literal["listwise"]
"""The model orders windows of documents."""

ThenMode = Literal[FittedMode, ListMode]
"""The modes of a command's second reranker."""

RankingMode = Literal[FittedMode, ListMode, "adaptive"]
"""The modes that rank differently; `explain` ranks as `score`. `adaptive` scores all documents, then ranks those
around a cut-off rank again."""

Mode = Literal[GradedMode, ListMode, "adaptive"]

Guard = Literal["none", "fence", "contrast"]
"""`none`: the model's grades as they are. `fence`: the prompt puts the document between marker lines, even if the model
was not trained so. `contrast`: the logits that the document gets without a question are subtracted, at twice the
cost."""

MODES: tuple[Mode, ...] = get_args(Mode)
FITTED_MODES: tuple[FittedMode, ...] = get_args(FittedMode)
THEN_MODES: tuple[ThenMode, ...] = get_args(ThenMode)
GUARDS: tuple[Guard, ...] = get_args(Guard)

SECTIONS: dict[Mode, str] = {"listwise": "lists", "adaptive": "adaptive"}
"""The section of settings that belongs to one mode."""

_EXPLAINED = 3


def graded_mode(mode: str) -> str:
    """The mode whose scores give the ranking: `score` for `explain`, else the mode itself."""
    return "score" if mode == "explain" else mode


def explained_by_default(mode: Mode) -> int:
    """The default number of documents whose grades are explained afterwards."""
    return _EXPLAINED if mode == "explain" else 0


def explains(modes: Collection[str]) -> bool:
    """Whether a judge trained in these modes can explain a grade; assumed if its modes are unknown (empty)."""
    return not modes or not {"explain", "reason"}.isdisjoint(modes)


def in_words(modes: tuple[Mode, ...]) -> str:
    """A list of modes in words, as `score, explain or reason`; `adaptive`, which combines others, is left out."""
    plain = [mode for mode in modes if mode != "adaptive"]
    return " or ".join(part for part in (", ".join(plain[:-1]), plain[-1]) if part)
