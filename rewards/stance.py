"""Whether the explanation leads a reader to the completion's grade, where the reader sees the question and no document.

The reader is the adapter from which the training starts, never the policy, so that it does not change. Value:
p(g | q, e) less the mean of p(g | q, e') and p(g | q', e), where g is the grade, q the question, e the explanation with
words that name a grade masked, e' an explanation of another document with the same grade, and q' that document's
question. Words that lead to a grade whatever the question is therefore earn less (after the leakage-adjusted
simulatability of Hase et al., arXiv 2010.04119). For grade 0 p(g | q', e) is left out, since a document that does not
help one question helps no other either. Range -1 to 1; -1 for a completion that cannot be read, None where no other
document of the batch has the same grade, or where there is no reader.

The reader reads up to three texts a completion, none with a document, and writes nothing. English words are masked.
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


class _Argument(NamedTuple):
    query: str
    explanation: str


class _Row(NamedTuple):
    place: int
    relevance: int
    document: tuple[str, str]
    argument: _Argument


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
    """One value from -1 to 1, or None, a completion; with several processes only those at `places` are computed."""
    judgments = [parse(completion) for completion in completions]
    values: list[float | None] = [None if judgment else UNREADABLE for judgment in judgments]
    rows = [
        _Row(place, int(judgment.relevance), document, _Argument(text, masked(judgment.reasoning)))
        for place, (judgment, document, text) in enumerate(
            zip(judgments, zip(query_id, doc_id, strict=True), query, strict=True)
        )
        if judgment is not None
    ]
    if reader is None:
        return values
    # For each grade the documents with it, each with its question and one explanation.
    arguments: dict[int, dict[tuple[str, str], _Argument]] = defaultdict(dict)
    for row in rows:
        own = arguments[row.relevance]
        # The smallest, so that values do not depend on the order of rows.
        own[row.document] = min(row.argument, own.get(row.document, row.argument))
    pairs_of: dict[int, list[_Argument]] = {}
    for row in rows:
        other = _other(arguments[row.relevance], row.document)
        if other is not None and (places is None or row.place in places):
            swapped = [_Argument(row.argument.query, other.explanation)]
            if row.relevance:
                swapped.append(_Argument(other.query, row.argument.explanation))
            pairs_of[row.place] = [row.argument, *(pair for pair in swapped if pair != row.argument)]
    pairs = list(dict.fromkeys(pair for own in pairs_of.values() for pair in own))
    grades = dict(zip(pairs, reader.led_to(pairs) if pairs else [], strict=True))
    for row in rows:
        if row.place in pairs_of:
            led, *others = (grades[pair][row.relevance] for pair in pairs_of[row.place])
            values[row.place] = led - fmean(others) if others else 0.0
    return values


def _other(arguments: dict[tuple[str, str], _Argument], own: tuple[str, str]) -> _Argument | None:
    """Another document's question and explanation: the next by ids, of another question if there is one."""
    others = [document for document in arguments if document != own]
    if not others:
        return None
    elsewhere = [document for document in others if document[0] != own[0]] or others
    return arguments[min(elsewhere, key=lambda document: (document < own, document))]
