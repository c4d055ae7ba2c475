"""Whether what the explanation quotes of the document stands there, and whether it quotes at all.

Value for a completion that grades 1 or 2: the share of its quotes that the document has verbatim, times
min(1, (1 - t) / 0.3), where t is the share of its words that stand in quotes or are copied; 0 without a
verbatim quote of three words.
For one that grades 0: None without quotes, since an honest "does not mention X" has nothing to quote, else the share
that is verbatim less 1. -1 for a completion that cannot be read. Copied is what agrees with the document in 8 words
on end, so that pasting does not pay with quotation marks or without.

With `deletion` over 0, that share of the value is the deletion test (after ERASER's comprehensiveness, arXiv
1911.03429): how far the expected grade falls, out of 1, when the quoted sentences are taken out of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from interank.judging import parse
from interank.tasks.judge.quotes import quotes, verified
from interank.types import Judgment

CREDIT = "explanation"
UNREADABLE = -1.0
_COPIED = 8
# Words of the shortest quote, and how much of an explanation may be the document's.
_LEAST, _MOST = 3, 0.7
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")

Regrade = Callable[[Sequence[tuple[str, str]]], list[tuple[float, float, float]]]
"""The policy's probabilities of the three grades for other pairs of query and document."""


def reward(
    *,
    completions: Sequence[str],
    query: Sequence[str],
    document: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    deletion: float = 0.0,
    regrade: Regrade | None = None,
    **_: object,
) -> list[float | None]:
    """One value from -1 to 1, or None, a completion."""
    judgments = [parse(completion) for completion in completions]
    rows = list(zip(judgments, query, document, strict=True))
    values = [_value(judgment, text, asked) for judgment, asked, text in rows]
    if deletion and regrade is not None:
        tested = [place for place, value in enumerate(values) if value and value > 0]
        without = [(query[place], _without(document[place], judgments[place])) for place in tested]
        for place, after in zip(tested, regrade(without) if without else [], strict=True):
            fall = _expected(probabilities[place]) - _expected(after)
            values[place] = (1 - deletion) * (values[place] or 0.0) + deletion * min(1.0, max(0.0, fall))
    return values


def _value(judgment: Judgment | None, document: str, query: str) -> float | None:
    if judgment is None:
        return UNREADABLE
    text = judgment.reasoning
    found = verified(text, document, query)
    if judgment.relevance == 0:
        return found.found / found.total - 1 if found.total else None
    long_enough = any(len(quote.split()) >= _LEAST and verified(f'"{quote}"', document).found for quote in quotes(text))
    if not long_enough or not found.total:
        return 0.0
    return found.found / found.total * min(1.0, (1 - _taken(text, document)) / (1 - _MOST))


def _taken(text: str, document: str) -> float:
    """The share of the text's words that stand in quotes or are copied."""
    said = quotes(text)
    rest = text
    for quote in said:
        rest = rest.replace(quote, "|", 1)
    # No word, so that nothing is copied across a quote's place.
    words, source = re.findall(r"\w+|\|", rest.casefold()), " ".join(_words(document))
    copied = [False] * len(words)
    for start in range(len(words) - _COPIED + 1):
        if f" {' '.join(words[start : start + _COPIED])} " in f" {source} ":
            copied[start : start + _COPIED] = [True] * _COPIED
    quoted = sum(len(_words(quote)) for quote in said)
    return (quoted + sum(copied)) / max(1, len(_words(text)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _without(document: str, judgment: Judgment | None) -> str:
    """The document less the sentences that hold a quote."""
    said = [quote for quote in quotes(judgment.reasoning if judgment else "") if verified(f'"{quote}"', document).found]
    return " ".join(
        sentence
        for sentence in _SENTENCE.split(document)
        if not any(verified(f'"{quote}"', sentence).found for quote in said)
    )


def _expected(probabilities: Sequence[float]) -> float:
    return probabilities[1] + 2 * probabilities[2]
