"""The modes of a reranker, listed once: what each is called, and what can stand beside it.

A task's recipe says in which its ranker reads a model (`interank.tasks.TASK_MODES`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

FittedMode = Literal["score", "reason"]
"""The modes whose scores are a model's own."""

GradedMode = Literal["score", "explain", "reason"]
"""`score` grades by one forward pass; `explain` also explains the first documents' grades; `reason` explains before it
grades."""

ListMode = Literal["listwise"]
"""The model orders windows of documents."""

ThenMode = Literal[FittedMode, ListMode]
"""What the second reranker of a command may do."""

RankingMode = Literal[FittedMode, ListMode, "adaptive"]
"""Those that rank each in its way; `explain` ranks as `score`. `adaptive` scores all and reasons around the cut."""

Mode = Literal[GradedMode, ListMode, "adaptive"]

Guard = Literal["none", "fence", "contrast"]
"""Grades as the model gives them; with the document fenced, whether the model has learned that or not; or less what
the same document gets where nothing is asked, which is twice the work."""

MODES: tuple[Mode, ...] = get_args(Mode)
FITTED_MODES: tuple[FittedMode, ...] = get_args(FittedMode)
THEN_MODES: tuple[ThenMode, ...] = get_args(ThenMode)
GUARDS: tuple[Guard, ...] = get_args(Guard)

SECTIONS: dict[Mode, str] = {"listwise": "lists", "adaptive": "adaptive"}
"""The section of settings that a mode alone takes."""

_EXPLAINED = 3


def graded_mode(mode: str) -> str:
    """The mode whose scores a mode ranks by."""
    return "score" if mode == "explain" else mode


def explained_by_default(mode: Mode) -> int:
    """Of how many documents the grades are explained after they were given, where nobody says."""
    return _EXPLAINED if mode == "explain" else 0


def explains(modes: Collection[str]) -> bool:
    """Whether a judge that was taught these modes has words for a grade; one of which nothing is known is asked."""
    return not modes or not {"explain", "reason"}.isdisjoint(modes)


def in_words(modes: tuple[Mode, ...]) -> str:
    """Modes to choose from, as `score, explain or reason`; those that are made of others are left out."""
    plain = [mode for mode in modes if mode != "adaptive"]
    return " or ".join(part for part in (", ".join(plain[:-1]), plain[-1]) if part)
