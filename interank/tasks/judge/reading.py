"""The interface of a frozen model that reads explanations: the grades that follow, and the tokens' probabilities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from interank.judging import Order

HIDDEN = "[not shown]"
"""Stands for a question or a document that the reader is not shown."""

_VERDICTS = re.compile(
    r"\b(?:(?:ir|un)?relevan(?:t|ce|cy|tly)|(?:not\s+)?(?:partially|partly|fully|highly|somewhat)\s+(?:relevant|helpful|"
    r"useful)|(?:un)?helpful|useful|useless|pertinen(?:t|ce)|(?:on|off)[- ]topic|grad(?:e[sd]?|ing)|"
    r"label(?:s|l?ed|l?ing)?|scor(?:e[sd]?|ing)|rat(?:e[sd]?|ings?)|mark(?:s|ed|ing)?|[012])\b",
    re.IGNORECASE,
)
_MASK = "_"


def masked(explanation: str) -> str:
    """The explanation with `_` for English words that state the grade, and for the numbers 0, 1 and 2."""
    return _VERDICTS.sub(_MASK, explanation)


class ExplanationInput(NamedTuple):
    """An explanation to read: its query, document and grade, and the order of the answer that it stands in."""

    query: str
    document: str
    relevance: int
    explanation: str
    order: Order = "grade_first"


class Token(NamedTuple):
    """A token of an explanation: its span in characters, and its natural log-probability."""

    start: int
    end: int
    log_probability: float


Probabilities = tuple[float, float, float]
"""Of the grades 0, 1 and 2."""


class Reader(Protocol):
    """Reads with the adapter that a training starts from, which the training does not change."""

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """The grade probabilities of pairs of query and document, read without an explanation."""
        ...

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """The grade probabilities of pairs of query and explanation, read after the explanation.

        The document is not shown.
        """
        ...

    def tokens(self, explanations: Sequence[ExplanationInput]) -> list[list[Token]]:
        """The log-probabilities of each explanation's tokens."""
        ...


def expected(probabilities: Sequence[float]) -> float:
    """The expected grade, 0 to 2."""
    return probabilities[1] + 2 * probabilities[2]
