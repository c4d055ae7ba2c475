"""The ranking of a query in Python: a list of its documents that prints as text or, in notebooks, as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any, TypedDict

from interank import plain_data
from interank.errors import InputError
from interank.types import Document, Query, RankedDocument
from interank.wording import counted

# The most documents of a text or a table; the list itself holds all.
_SHOWN = 20
_CHARACTERS = 80
# Grades 0, 1 and 2, told apart without colours too, since each has its number in the title.
_COLOURS = ("#b8b8b8", "#7fb3d5", "#1f618d")


class Least(TypedDict, total=False):
    """The minimums for a document to be returned; None, like a missing key, sets none."""

    min_score: float | None
    """The least score; a judge's score is a logarithm, 0 half-way between irrelevant and relevant."""
    min_grade: int | None
    """The least grade, 0 to 2, of rerankers that grade."""
    min_probability: float | None
    """The least probability of being relevant, 0 to 1; a fit gives it."""


class QueryOptions(Least, total=False):
    """The keywords for the ranking of one query."""

    instruction: str | None
    """How to judge its documents, where the query brings no instruction of its own."""


_PLURALS = {"min_score": "scores", "min_grade": "grades", "min_probability": "probabilities"}
_OF: dict[str, str] = {"min_score": "score", "min_grade": "relevance", "min_probability": "probability"}
_MOST: dict[str, float] = {"min_score": math.inf, "min_grade": 2, "min_probability": 1}


def set_minimums(least: Mapping[str, Any]) -> dict[str, float]:
    """The minimums that are set.

    Raises:
        InputError: One is unknown, or no number that can be reached.
    """
    minimums: dict[str, float] = {}
    for name, value in least.items():
        if name not in _OF:
            raise InputError(f"rank takes no {name}; minimums are {', '.join(_OF)}")
        if value is not None:
            try:
                minimums[name] = plain_data.finite(
                    value, least=-math.inf if name == "min_score" else 0, most=_MOST[name]
                )
            except ValueError as error:
                raise InputError(f"{name}: {error}; give one, or leave it out") from None
    return minimums


class QueryRanking(list[RankedDocument]):
    """The documents of one query, best first, each with its `document`; equal to a list of the same."""

    def __init__(self, query: Query, ranking: Iterable[RankedDocument]) -> None:
        super().__init__(ranking)
        self.query = query

    @classmethod
    def of(cls, query: Query, documents: Sequence[Document], ranking: Iterable[RankedDocument]) -> QueryRanking:
        """The ranking of these documents, each carrying its own."""
        by_id = {document.doc_id: document for document in documents}
        return cls(query, [replace(item, document=by_id[item.doc_id]) for item in ranking])

    def at_least(self, minimums: Mapping[str, float]) -> QueryRanking:
        """The documents that reach all of these minimums, in their order.

        Raises:
            InputError: The ranking lacks the value of one.
        """
        for name in minimums:
            if any(getattr(item, _OF[name]) is None for item in self):
                hint = "interank fit gives them" if name == "min_probability" else "use a mode that grades"
                raise InputError(f"{name}: this reranker gives no {_PLURALS[name]}; {hint}")
        passing = (item for item in self if all(getattr(item, _OF[name]) >= least for name, least in minimums.items()))
        return QueryRanking(self.query, passing)

    def __repr__(self) -> str:
        lines = [f"{counted(len(self), 'document')} for {_short(self.query.text)!r}"]
        for place, item in enumerate(self[:_SHOWN], start=1):
            facts = "  ".join(f"{name} {value}" for name, value in _facts(item).items())
            lines.append(f"{place:>3}. {facts}  {_short(_text(item))}")
            if item.explanation:
                lines.append(f"     why: {_short(item.explanation, 4 * _CHARACTERS)}")
        if len(self) > _SHOWN:
            lines.append(f"     and {len(self) - _SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A table for notebooks, in which every text is escaped."""
        facts = [_facts(item) for item in self[:_SHOWN]]
        columns = list(dict.fromkeys(name for each in facts for name in each))
        graded = any(item.probabilities for item in self)
        explained = any(item.explanation for item in self)
        head = ["", "document", *columns, *(["grades"] if graded else []), *(["why"] if explained else [])]
        rows = [_cells("th", map(escape, head))]
        for place, (item, each) in enumerate(zip(self, facts, strict=False), start=1):
            cells = [str(place), escape(_short(_text(item), 3 * _CHARACTERS))]
            cells += [escape(each.get(column, "")) for column in columns]
            cells += [_bar(item)] if graded else []
            cells += [escape(item.explanation or "")] if explained else []
            rows.append(_cells("td", cells))
        caption = f"{counted(len(self), 'document')} for “{escape(self.query.text)}”"
        if len(self) > _SHOWN:
            caption += f", the first {_SHOWN}"
        return f"<table><caption>{caption}</caption>{''.join(rows)}</table>"


def _facts(item: RankedDocument) -> Mapping[str, str]:
    """The id, the score and the other values of a document, in words."""
    facts = {"id": item.doc_id, "score": f"{item.score:+.3f}"}
    if item.relevance is not None:
        facts["grade"] = str(int(item.relevance))
    if item.probability is not None:
        facts["probability"] = f"{item.probability:.2f}"
    if item.truncated:
        facts["cut"] = f"{item.truncated} tokens"
    return facts


def _bar(item: RankedDocument) -> str:
    """The three grades' probabilities as parts of one bar."""
    if item.probabilities is None:
        return ""
    title = ", ".join(f"grade {grade}: {share:.0%}" for grade, share in enumerate(item.probabilities))
    parts = "".join(
        f'<span style="display:inline-block;height:0.8em;width:{share * 100:.1f}px;background:{colour}"></span>'
        for share, colour in zip(item.probabilities, _COLOURS, strict=True)
    )
    return f'<span title="{title}" role="img" aria-label="{title}" style="white-space:nowrap">{parts}</span>'


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells) + "</tr>"


def _text(item: RankedDocument) -> str:
    return item.document.full_text if item.document else ""


def _short(text: str, most: int = _CHARACTERS) -> str:
    """The text in one line, its end left off where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
