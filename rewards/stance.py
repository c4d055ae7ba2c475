"""Whether the explanation leads to the grade that was given, for a reader who sees the question and no document.

The reader is the adapter from which the training starts, never the policy: what it reads stays what it was. Value:
p(g | q, e) less the mean of p(g | q, e') and p(g | q', e), where g is the grade, q the question, e the explanation with
words that say a grade masked, e' an explanation of the same grade of another document, and q' that document's
question. Words that lead to a grade whatever was asked earn less by it (after the leakage-adjusted simulatability of
Hase et al., arXiv 2010.04119). Of grade 0 the last figure is left out: what does not help one question helps no other.
Range -1 to 1; -1 for a completion that cannot be read, None where no other document of the batch was given the same
grade, or where there is no reader.

Takes up to three reads of a text without a document a completion, and writes nothing. English words are masked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from statistics import fmean
from typing import NamedTuple

from interank.judging import parse
from interank.tasks.judge.reading import Reader, masked

CREDIT = "explanation"
COMPARES = True
UNREADABLE = -1.0


class _Said(NamedTuple):
    query: str
    explanation: str


class _Row(NamedTuple):
    place: int
    relevance: int
    document: tuple[str, str]
    said: _Said


def reward(
    *,
    completions: Sequence[str],
    query_id: Sequence[str],
    doc_id: Sequence[str],
    query: Sequence[str],
    reader: Reader | None = None,
    places: Container[int] | None = None,
    **_: object,
) -> list[float | None]:
    """One value from -1 to 1, or None, a completion; of several processes those at `places` alone are read."""
    judgments = [parse(completion) for completion in completions]
    values: list[float | None] = [None if judgment else UNREADABLE for judgment in judgments]
    rows = [
        _Row(place, int(judgment.relevance), (asked, name), _Said(text, masked(judgment.reasoning)))
        for place, (judgment, asked, name, text) in enumerate(zip(judgments, query_id, doc_id, query, strict=True))
        if judgment is not None
    ]
    if reader is None:
        return values
    # Of each grade, the documents that it was given to, each with its question and one explanation.
    given: dict[int, dict[tuple[str, str], _Said]] = defaultdict(dict)
    for row in rows:
        own = given[row.relevance]
        # The least, so that nothing depends on the order of rows.
        own[row.document] = min(row.said, own.get(row.document, row.said))
    asked_of: dict[int, list[_Said]] = {}
    for row in rows:
        other = _other(given[row.relevance], row.document)
        if other is not None and (places is None or row.place in places):
            swapped = [_Said(row.said.query, other.explanation)]
            if row.relevance:
                swapped.append(_Said(other.query, row.said.explanation))
            asked_of[row.place] = [row.said, *(pair for pair in swapped if pair != row.said)]
    pairs = list(dict.fromkeys(pair for own in asked_of.values() for pair in own))
    found = dict(zip(pairs, reader.led_to(pairs) if pairs else [], strict=True))
    for row in rows:
        if row.place in asked_of:
            led, *others = (found[pair][row.relevance] for pair in asked_of[row.place])
            values[row.place] = led - fmean(others) if others else 0.0
    return values


def _other(given: dict[tuple[str, str], _Said], own: tuple[str, str]) -> _Said | None:
    """Another document's question and explanation: the next in order, of another question if there is one."""
    others = [document for document in given if document != own]
    if not others:
        return None
    elsewhere = [document for document in others if document[0] != own[0]] or others
    return given[min(elsewhere, key=lambda document: (document < own, document))]
