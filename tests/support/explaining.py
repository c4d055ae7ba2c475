"""A program that plays teacher on the rule's tiny texts: a good explanation names what decides, and says which way."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from interank import judging
from interank.types import Example, Judgment
from tests.support import rule
from tests.support.stub import Answer, said

_QUERY = re.compile(r"Where is the (\w+) (\w+)\?")
_DOCUMENT = re.compile(r"A (\w+) (\w+) sits in the \w+\.")
_WORD = re.compile(r"[a-z]+")
_CLAIM = re.compile(r"\b(same|other) (colour|animal)\b")
_QUOTE = re.compile(r'"([^"]*)"')
# Of so many words an explanation needs no more; `rule.spelled_out` has ten.
_ENOUGH = 14
# An explanation that says nothing of how the two compare is worth this share of one that does.
_SILENT = 0.3
_NAMES = frozenset({*rule.COLOURS, *rule.ANIMALS, "mouse", "grey"})
_DENIALS = frozenset({"not", "never", "nothing", "no"})


def asked_for(query: str) -> tuple[str, str]:
    """Colour and animal of a query."""
    found = _QUERY.search(query)
    assert found, query
    return found[1], found[2]


def told_of(document: str) -> tuple[str, str]:
    """Colour and animal of a document."""
    found = _DOCUMENT.search(document)
    assert found, document
    return found[1], found[2]


def deciding(query: str, document: str) -> frozenset[str]:
    """The document's words that decide the grade: what differs from what was asked, or both where nothing does."""
    asked, told = asked_for(query), told_of(document)
    return frozenset(word for word, wanted in zip(told, asked, strict=True) if word != wanted) or frozenset(told)


def mark(query: str, document: str, grade: int, explanation: str) -> float:
    """What an explanation is worth, 0 to 1.

    It has to name the deciding words; is worth more the more of what it claims to be same or other is so; half for
    each name that neither text holds; less the longer it is; and nothing if it denies, quotes what the document lacks,
    or goes with another grade than the rule gives.
    """
    asked, told = asked_for(query), told_of(document)
    words = _WORD.findall(explanation.casefold())
    quoted = [quote.casefold() for quote in _QUOTE.findall(explanation)]
    if _DENIALS & {*words} or any(quote not in document.casefold() for quote in quoted):
        return 0.0
    if grade != int(rule.judge(asked, told).relevance):
        return 0.0
    wanted = deciding(query, document)
    named = len(wanted & {*words}) / len(wanted)
    truth = {"colour": asked[0] == told[0], "animal": asked[1] == told[1]}
    claims = {side: which == "same" for which, side in _CLAIM.findall(explanation.casefold())}
    right: float = sum(claims.get(side) == is_same for side, is_same in truth.items()) / len(truth)
    strange = len((_NAMES & {*words}) - {*asked, *told})
    claimed = _SILENT + (1 - _SILENT) * right
    return named * claimed * math.pow(0.5, strange) * min(1.0, _ENOUGH / max(1, len(words)))


def good(query: str, document: str) -> str:
    """An explanation that is worth 1."""
    return rule.spelled_out(asked_for(query), told_of(document))


def poor(query: str, document: str) -> str:
    """An explanation that is true but names nothing, worth 0."""
    return rule.reasoning(asked_for(query), told_of(document))


def explained(example: Example, say: Callable[[str, str], str] = good) -> Example:
    """The judged pair with another explanation."""
    text = say(example.query.text, example.document.full_text)
    judgment = Judgment(text, example.judgment.relevance)
    return Example(example.query, example.document, judgment, example.probabilities, example.split, example.source)


def answer(number: int, body: dict[str, Any]) -> Answer:
    """As a server's reply: marks where a set is to be marked, else an explanation, a good or a poor one by the seed."""
    question = body["messages"][-1]["content"]
    if "Explanation 1:\n" in question:
        return said(marks(question))
    query, document = _texts(question)
    return said((good, poor)[body.get("seed", 0) % 2](query, document))


def marks(question: str, judge: Callable[[str, str, int, str], float] = mark) -> str:
    """The reply to a set of explanations: a line for each with its mark and why."""
    query, document = _texts(question)
    lines = []
    parts = re.split(r"\n\nExplanation (\d+):\n", question.rpartition("\n\n")[0])
    for place, text in zip(parts[1::2], parts[2::2], strict=True):
        judgment = judging.parse(text)
        worth = judge(query, document, int(judgment.relevance), judgment.reasoning) if judgment else 0.0
        lines.append(f"{place}: {round(10 * worth)} - {'it names what decides' if worth > 0.5 else 'it does not'}")
    return "\n".join(lines)


def _texts(question: str) -> tuple[str, str]:
    query, document = _QUERY.search(question), _DOCUMENT.search(question)
    assert query, question
    assert document, question
    return query[0], document[0]
