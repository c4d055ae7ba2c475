"""Whether the document supports the explanation, in quotes or in the explanation's own words.

A reader (the adapter from which the training starts, never the policy) gives the probability of the explanation's
tokens. Value for a completion that grades 1 or 2: the larger of two figures,

* own words: how much reading the document raises the log-probability (in nats, divided by `nats`) of the words outside
  quotes,
* quotes: the fall of the reader's expected grade, divided by half a grade, when the sentences with verbatim quotes of
  three words or more are taken out of the document (the deletion test, after ERASER's comprehensiveness, arXiv
  1911.03429); the quoted words alone, where those sentences are more than three quarters of it.

Value for a completion that grades 0: how much reading the question raises the log-probability of its own words, since
it has to name what the question needs. Each figure is clipped to 0 to 1 and multiplied by

* plain words: 1 where the own words have at most 4 nats a token, falling linearly to 0 at 6,
* length: 1 up to 60 words, then 60 over their number,
* pasting: min(1, (1 - t) / 0.3), where t is the share of words in quotes, in copied sentences or in copied runs of 8
  words or more.

The share of quotes that are not in the document is subtracted from the product. Range -1 to 1; -1 for a completion
that cannot be read, None where there is no reader. The reader reads each completion twice. If a completion of grade 1
or 2 has quotes, it also reads the document with and without their sentences. It writes nothing. A false claim in
plausible words is not noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interank.judging import Order, parse
from interank.tasks.judge.quotes import quoted_places, taken, verified, without_quoted
from interank.tasks.judge.reading import HIDDEN, ExplanationInput, Reader, Token, expected

CREDIT = "explanation"
UNREADABLE = -1.0
# The share of an explanation that may be copied without loss.
_MOST = 0.7
# In order: the fall of the expected grade that is worth 1; the nats per token, and the words, above which it falls.
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
    """One value from -1 to 1, or None, for each completion."""
    values: list[float | None] = []
    rows: list[_Row] = []
    orders = order or ["grade_first"] * len(completions)
    for place, (completion, question, text, how) in enumerate(zip(completions, query, document, orders, strict=True)):
        judgment = parse(completion)
        values.append(None if judgment else UNREADABLE)
        if judgment is not None:
            rows.append(_Row(place, question, text, int(judgment.relevance), judgment.reasoning, how))
    if reader is None or not rows:
        return values
    whole = [ExplanationInput(row.query, row.document, row.relevance, row.explanation, row.order) for row in rows]
    lacking = [item._replace(document=HIDDEN) if item.relevance else item._replace(query=HIDDEN) for item in whole]
    distinct = list(dict.fromkeys([*whole, *lacking]))
    read = dict(zip(distinct, reader.tokens(distinct), strict=True))
    fallen = _falls(reader, rows)
    for row, item, without in zip(rows, whole, lacking, strict=True):
        own, bare = _own(row.explanation, read[item]), _own(row.explanation, read[without])
        gained = sum(own) - sum(bare)
        evidence = max(_clipped(gained / nats), _clipped(fallen.get(row.place, 0.0) / _FALL))
        surprised = -sum(own) / len(own) if own else 0.0
        plain = _clipped(1 - (surprised - _SURPRISE) / (_SURPRISE / 2))
        short = min(1.0, _WORDS / max(1, len(row.explanation.split())))
        copied = max(taken(row.explanation, row.document), taken(row.explanation, row.query))
        quoted = verified(row.explanation, row.document, row.query)
        invented = 1 - quoted.found / quoted.total if quoted.total else 0.0
        values[row.place] = evidence * plain * short * _clipped((1 - copied) / (1 - _MOST)) - invented
    return values


def _falls(reader: Reader, rows: Sequence[_Row]) -> dict[int, float]:
    """The fall of the expected grade without the quoted sentences, for each row of grade 1 or 2 with quotes."""
    tested = [
        (row, without)
        for row in rows
        if row.relevance and (without := without_quoted(row.document, row.explanation)) != _whole(row.document)
    ]
    if not tested:
        return {}
    pairs = list(dict.fromkeys(pair for row, text in tested for pair in ((row.query, row.document), (row.query, text))))
    grades = {pair: expected(three) for pair, three in zip(pairs, reader.grades(pairs), strict=True)}
    return {row.place: grades[row.query, row.document] - grades[row.query, text] for row, text in tested}


def _whole(document: str) -> str:
    """The document as `without_quoted` returns it where nothing is removed."""
    return without_quoted(document, "")


def _own(explanation: str, tokens: Sequence[Token]) -> list[float]:
    """The log-probabilities of the tokens outside quotes."""
    quoted = quoted_places(explanation)
    return [
        token.log_probability
        for token in tokens
        if not any(start < token.end and token.start < end for start, end in quoted)
    ]


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
