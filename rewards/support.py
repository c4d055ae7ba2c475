"""Whether the document bears out what the explanation says, in the document's words or in other ones.

A reader (the adapter from which the training starts, never the policy) says how likely the explanation's words are.
Value for a completion that grades 1 or 2: the larger of two figures,

* own words: how many nats more likely the words outside quotes are with the document than without it, out of `nats`,
* quotes: how far the reader's expected grade falls when the sentences with verbatim quotes of three words or more are
  taken out of the document, out of half a grade (the deletion test, after ERASER's comprehensiveness, arXiv
  1911.03429).

For one that grades 0, how many nats more likely its own words are with the question than without it, out of `nats`:
it has to name what the question needs. Each figure is held to 0 to 1 and multiplied by

* plain talk: 1 where the own words have at most 4 nats a token, falling evenly to 0 at 6,
* length: 1 up to 60 words, then 60 over their number,
* pasting: min(1, (1 - t) / 0.3), where t is the share of words that stand in quotes or are copied in 8 words on end.

From the product goes the share of quotes that the document does not have. Range -1 to 1; -1 for a completion that
cannot be read, None where there is no reader. Takes two reads of each completion and two of the document a completion
with quotes, and writes nothing. A false claim in fair words it cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interank.judging import Order, parse
from interank.tasks.judge.quotes import quoted_places, taken, verified, without_quoted
from interank.tasks.judge.reading import HIDDEN, ExplanationInput, Reader, Token, expected

CREDIT = "explanation"
UNREADABLE = -1.0
# How much of an explanation may be the document's or the question's.
_MOST = 0.7
# A fall of the expected grade that is all of one, nats a token from which on words surprise, and words that are enough.
_FALL, _SURPRISE, _WORDS = 0.5, 4.0, 60


class _Row(NamedTuple):
    place: int
    query: str
    document: str
    relevance: int
    explanation: str
    order: Order


def reward(
    *,
    completions: Sequence[str],
    query: Sequence[str],
    document: Sequence[str],
    order: Sequence[Order] | None = None,
    reader: Reader | None = None,
    nats: float = 5.0,
    **_: object,
) -> list[float | None]:
    """One value from -1 to 1, or None, a completion."""
    values: list[float | None] = []
    rows: list[_Row] = []
    orders = order or ["grade_first"] * len(completions)
    for place, (completion, asked, text, how) in enumerate(zip(completions, query, document, orders, strict=True)):
        judgment = parse(completion)
        values.append(None if judgment else UNREADABLE)
        if judgment is not None:
            rows.append(_Row(place, asked, text, int(judgment.relevance), judgment.reasoning, how))
    if reader is None or not rows:
        return values
    told = [ExplanationInput(row.query, row.document, row.relevance, row.explanation, row.order) for row in rows]
    lacking = [item._replace(document=HIDDEN) if item.relevance else item._replace(query=HIDDEN) for item in told]
    distinct = list(dict.fromkeys([*told, *lacking]))
    read = dict(zip(distinct, reader.tokens(distinct), strict=True))
    fallen = _falls(reader, rows)
    for row, item, without in zip(rows, told, lacking, strict=True):
        own, bare = _own(row.explanation, read[item]), _own(row.explanation, read[without])
        gained = sum(own) - sum(bare)
        evidence = max(_held(gained / nats), _held(fallen.get(row.place, 0.0) / _FALL))
        surprised = -sum(own) / len(own) if own else 0.0
        plain = _held(1 - (surprised - _SURPRISE) / (_SURPRISE / 2))
        short = min(1.0, _WORDS / max(1, len(row.explanation.split())))
        copied = max(taken(row.explanation, row.document), taken(row.explanation, row.query))
        quoted = verified(row.explanation, row.document, row.query)
        invented = 1 - quoted.found / quoted.total if quoted.total else 0.0
        values[row.place] = evidence * plain * short * _held((1 - copied) / (1 - _MOST)) - invented
    return values


def _falls(reader: Reader, rows: Sequence[_Row]) -> dict[int, float]:
    """How far the expected grade falls without the quoted sentences, by row; of grades 1 and 2 that quote."""
    tested = [
        (row, without)
        for row in rows
        if row.relevance and (without := without_quoted(row.document, row.explanation)) != _whole(row.document)
    ]
    if not tested:
        return {}
    pairs = list(dict.fromkeys(pair for row, text in tested for pair in ((row.query, row.document), (row.query, text))))
    found = {pair: expected(three) for pair, three in zip(pairs, reader.grades(pairs), strict=True)}
    return {row.place: found[row.query, row.document] - found[row.query, text] for row, text in tested}


def _whole(document: str) -> str:
    """The document as `without_quoted` gives it where nothing was taken out."""
    return without_quoted(document, "")


def _own(explanation: str, tokens: Sequence[Token]) -> list[float]:
    """The log-probabilities of the tokens outside quotes."""
    quoted = quoted_places(explanation)
    return [
        token.log_probability
        for token in tokens
        if not any(start < token.end and token.start < end for start, end in quoted)
    ]


def _held(value: float) -> float:
    return min(1.0, max(0.0, value))
