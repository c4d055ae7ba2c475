"""What a frozen reader tells of explanations: which grade a text leads to, and how likely its words are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from interank.judging import Order

HIDDEN = "[not shown]"
"""Stands for a question or a document that the reader is not shown."""

_VERDICTS = re.compile(
    r"\b(?:(?:ir|un)?relevan(?:t|ce|cy|tly)|(?:not\s+)?(?:partially|partly|fully|highly|somewhat)\s+(?:relevant|helpful|"
    r"useful)|(?:un)?helpful|useful|useless|grade[sd]?|label(?:s|ed|led)?|scores?|rated?|rating|marks?|[012])\b",
    re.IGNORECASE,
)
_MASK = "_"


def masked(explanation: str) -> str:
    """The explanation with `_` for English words that say the grade itself, and for the numbers 0, 1 and 2."""
    return _VERDICTS.sub(_MASK, explanation)


class Told(NamedTuple):
    """An explanation as the reader is given it: what it is of, the grade before it, and in which order it answers."""

    query: str
    document: str
    relevance: int
    explanation: str
    order: Order = "grade_first"


class Token(NamedTuple):
    """A token of an explanation: where it stands in its characters, and its natural log-probability."""

    start: int
    end: int
    log_probability: float


Probabilities = tuple[float, float, float]
"""Of the grades 0, 1 and 2."""


class Reader(Protocol):
    """Reads as the adapter did from which a training starts; nothing that the training does changes it."""

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """The probabilities of the three grades, read at once, of pairs of query and document."""
        ...

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """The probabilities of the three grades after an explanation, of pairs of query and explanation.

        The document is not shown.
        """
        ...

    def tokens(self, told: Sequence[Told]) -> list[list[Token]]:
        """The log-probabilities of each explanation's tokens."""
        ...


def expected(probabilities: Sequence[float]) -> float:
    """The expected grade, 0 to 2."""
    return probabilities[1] + 2 * probabilities[2]
