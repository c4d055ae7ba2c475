"""The types that all modules share: queries, documents, grades, judgments, runs. Imports the standard library only."""

from __future__ import annotations

import math
import operator
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from itertools import accumulate, islice, repeat
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from interank.errors import InputError

Split = Literal["train", "validation"]
Origin = Literal["accepted_answer", "answer", "low_answer", "linked_answer", "page", "hard_negative", "random_negative"]
Language = Literal[
    "arabic",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
]
"""The languages with a stemmer."""

Item = TypeVar("Item")
Key = TypeVar("Key")


class Relevance(IntEnum):
    """A grade: how far a document helps with a query."""

    IRRELEVANT = 0
    PARTIAL = 1
    RELEVANT = 2


GRADES: tuple[Relevance, ...] = tuple(Relevance)


@dataclass(frozen=True, slots=True)
class Judgment:
    """A model's grade of a document for a query, with its reasoning."""

    reasoning: str
    relevance: Relevance


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and how its documents are to be judged."""

    query_id: str
    text: str
    instruction: str | None = None
    """How its documents are to be judged; "" is no instruction, None takes the one of the ranking or the training."""

    def judged_by(self, instruction: str | None) -> Query:
        """The query with this instruction, unless it has its own or the instruction is empty."""
        return self if self.instruction is not None or not instruction else replace(self, instruction=instruction)


@dataclass(frozen=True, slots=True)
class Document:
    """A text that may help with a query."""

    doc_id: str
    text: str
    title: str = ""

    @property
    def full_text(self) -> str:
        """Title and text: what models and indexes read."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a document, for the attribution that its licence requires."""

    site: str
    post_id: str
    url: str
    author: str
    licence: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document for a teacher to judge, or a judgment for it to explain."""

    query: Query
    document: Document
    split: Split
    origin: Origin | None
    """The document's origin; None for imported labels without one."""
    source: Source
    given: Example | None = None
    """The existing judgment; None for a mined pair."""


@dataclass(frozen=True, slots=True)
class Example:
    """A judged pair, before any tokenizer has seen it."""

    query: Query
    document: Document
    judgment: Judgment
    probabilities: tuple[float, float, float] | None
    split: Split
    source: Source
    score: float | None = None
    """A label finer than the grade, higher is better, comparable within a query; None if there is only a grade."""
    weight: float = 1.0
    """How much the pair counts in training, above 0."""


class Qrel(NamedTuple):
    """The human label of one document for one query; field names are ir_measures'."""

    query_id: str
    doc_id: str
    relevance: int


class ScoredDoc(NamedTuple):
    """A system's score for one document of one query; field names are ir_measures'."""

    query_id: str
    doc_id: str
    score: float


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by key; keys and items keep their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


class RunFile(NamedTuple):
    """The content of a run file as it is, ties included."""

    scored: dict[str, dict[str, float]]
    """Scores by query and document."""
    tag: str
    """The tag of the first line."""
    falling: frozenset[str] = frozenset()
    """Queries whose scores are known to fall strictly from line to line, also in float32."""


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A document in a ranking: its score, the most probable grade, and an explanation if one was requested.

    A listwise reranker gives no grade; then there is only that of an earlier reranker, if any.
    """

    doc_id: str
    score: float
    relevance: Relevance | None = None
    probabilities: tuple[float, float, float] | None = None
    label_mass: float | None = None
    """The total probability of the three labels among all tokens; a low one means that the model was not grading."""
    explanation: str | None = None
    truncated: int = 0
    """How many tokens at the document's end were cut, and so not graded."""
    probability: float | None = None
    """With a fit: the calibrated probability that the judges it was fitted on call the document relevant."""
    document: Document | None = field(default=None, compare=False, repr=False)
    """The document itself, in rankings of Python's `rank`."""

    def as_row(self) -> dict[str, Any]:
        """The ranked document as plain data, for `of_row`; `probability` is left out if there is none."""
        row = {**asdict(self), "relevance": None if self.relevance is None else int(self.relevance)}
        if self.probability is None:
            del row["probability"]
        # Readers of the row have the documents.
        del row["document"]
        return row

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> RankedDocument:
        """Read a row of `as_row`, also after JSON."""
        relevance, three = row["relevance"], row["probabilities"]
        graded = {
            "relevance": None if relevance is None else Relevance(relevance),
            "probabilities": None if three is None else (three[0], three[1], three[2]),
        }
        return cls(**{**row, **graded})


class Run(Mapping[str, tuple[ScoredDoc, ...]]):
    """A ranking per query, in a total order: scores fall strictly, also in float32, as trec_eval reads them.

    trec_eval ignores the rank column and breaks ties by descending document id, so it would measure another ranking
    if scores tied.
    """

    def __init__(self, rankings: Mapping[str, Sequence[ScoredDoc]], *, tag: str) -> None:
        """Take rankings best first; scores that do not fall strictly are lowered by the least float32 step.

        Raises:
            InputError: A score is not finite, or a ranking holds a document twice.
        """
        self.tag = tag
        self._rankings: dict[str, _Ranking] = {
            query_id: _falling(query_id, [item.doc_id for item in ranking], [item.score for item in ranking])
            for query_id, ranking in rankings.items()
        }
        self._tied: Mapping[str, int] = {}

    @classmethod
    def from_scores(cls, scored: Iterable[ScoredDoc], *, first_stage: Run | None = None, tag: str) -> Run:
        """Rank by score, higher first; ties keep first-stage order, or the input order without a first stage."""
        rankings = {}
        for query_id, items in grouped(scored, lambda item: item.query_id).items():
            before = first_stage.doc_ids(query_id) if first_stage and query_id in first_stage else ()
            position = {doc_id: place for place, doc_id in enumerate(before)}
            last = len(position)
            rankings[query_id] = sorted(items, key=lambda item: (-item.score, position.get(item.doc_id, last)))
        return cls(rankings, tag=tag)

    @classmethod
    def from_orders(cls, orders: Mapping[str, Sequence[str]], *, tag: str) -> Run:
        """Rank documents in the given order, best first; of n documents the first scores n and the last 1.

        Raises:
            InputError: A ranking holds a document twice.
        """
        rankings = {query_id: _falling(query_id, ids, range(len(ids), 0, -1)) for query_id, ids in orders.items()}
        return cls._of(rankings, tag, {})

    @classmethod
    def from_rankings(cls, rankings: Mapping[str, Mapping[str, float]], *, tag: str) -> Run:
        """Take documents with their scores, best first; scores that do not fall are lowered as in `Run`.

        Raises:
            InputError: A score is not finite.
        """
        falling = {
            query_id: _falling(query_id, list(items), list(items.values())) for query_id, items in rankings.items()
        }
        return cls._of(falling, tag, {})

    @classmethod
    def from_trec_eval(
        cls, scored: Mapping[str, Mapping[str, float]], *, tag: str, falling: Collection[str] = ()
    ) -> Run:
        """Rank a query's documents as trec_eval does: by float32 score, ties by descending document id.

        Args:
            scored: Scores by query and document.
            tag: The run's tag.
            falling: Queries whose scores are known to fall strictly in float32 and need no check.

        Raises:
            InputError: A score is not finite.
        """
        rankings = {}
        tied = {}
        for query_id, scores in scored.items():
            # trec_eval keeps scores as C floats: scores that differ in double precision only are ties.
            single = array("f", () if query_id in falling else scores.values())
            if _is_in_order(single):
                rankings[query_id] = dict(scores)
                continue
            tied[query_id] = sum(count for count in Counter(single).values() if count > 1)
            ordered = sorted(zip(single, scores, strict=True), reverse=True)
            rankings[query_id] = _falling(query_id, [doc_id for _, doc_id in ordered], [score for score, _ in ordered])
        return cls._of(rankings, tag, tied)

    @classmethod
    def _of(cls, rankings: dict[str, _Ranking], tag: str, tied: Mapping[str, int]) -> Run:
        """A run of rankings whose scores fall strictly already."""
        run = cls({}, tag=tag)
        run._rankings = rankings
        run._tied = tied
        return run

    @property
    def tied(self) -> int:
        """How many documents had the same score as another one of their query in the run file."""
        return sum(self._tied.get(query_id, 0) for query_id in self._rankings)

    @property
    def reordered(self) -> bool:
        """Whether documents of some query were in another order, or tied, in the run file."""
        return not self._tied.keys().isdisjoint(self._rankings)

    def __getitem__(self, query_id: str) -> tuple[ScoredDoc, ...]:
        ranking = self._rankings[query_id]
        return tuple(map(ScoredDoc, repeat(query_id), ranking, ranking.values()))

    def __contains__(self, query_id: object) -> bool:
        return query_id in self._rankings

    def __iter__(self) -> Iterator[str]:
        return iter(self._rankings)

    def __len__(self) -> int:
        return len(self._rankings)

    def __repr__(self) -> str:
        return f"Run(tag={self.tag!r}, queries={len(self)})"

    def doc_ids(self, query_id: str) -> list[str]:
        """The query's documents, best first."""
        return list(self._rankings[query_id])

    def scores(self, query_id: str) -> Mapping[str, float]:
        """The query's documents with their scores, best first."""
        return self._rankings[query_id]

    def top(self, top_k: int) -> Run:
        """The run with only the first `top_k` documents of each query."""
        cut = {
            query_id: ranking if len(ranking) <= top_k else dict(islice(ranking.items(), top_k))
            for query_id, ranking in self._rankings.items()
        }
        return Run._of(cut, self.tag, self._tied)

    def only(self, query_ids: Iterable[str]) -> Run:
        """The run with only these queries, in the given order; queries without a ranking are left out."""
        chosen = {query_id: self._rankings[query_id] for query_id in query_ids if query_id in self._rankings}
        return Run._of(chosen, self.tag, self._tied)

    def without(self, excluded: Mapping[str, frozenset[str]]) -> Run:
        """The run without the documents that a query excludes."""
        kept = {}
        for query_id, ranking in self._rankings.items():
            left_out = excluded.get(query_id, frozenset())
            if not ranking.keys().isdisjoint(left_out):
                ranking = {doc_id: score for doc_id, score in ranking.items() if doc_id not in left_out}
            kept[query_id] = ranking
        return Run._of(kept, self.tag, self._tied)


# Document ids, best first, with their scores.
_Ranking: TypeAlias = dict[str, float]

# Below float32's largest number, so that there is room for smaller steps.
_LARGEST = 1e38
_SIGN = 0x80000000


def _falling(query_id: str, doc_ids: Sequence[str], scores: Sequence[float]) -> _Ranking:
    """The ranking with its scores in float32; scores that do not fall strictly are lowered."""
    single = array("f", scores)
    if not _is_in_order(single):
        for doc_id, score in zip(doc_ids, scores, strict=True):
            if not math.isfinite(score):
                raise InputError(
                    f"query {query_id!r}: the score of document {doc_id!r} is {score}, where a finite number "
                    "is needed; correct it"
                )
        single = _lowered(array("f", (max(-_LARGEST, min(_LARGEST, score)) for score in scores)))
    ranking = dict(zip(doc_ids, single, strict=True))
    if len(ranking) < len(doc_ids):
        twice = next(doc_id for doc_id, count in Counter(doc_ids).items() if count > 1)
        raise InputError(f"query {query_id!r}: document {twice!r} is ranked twice; keep one of the two")
    return ranking


def _is_in_order(scores: array[float]) -> bool:
    """Whether scores fall strictly and leave room below; False if one is NaN, as comparisons with NaN are false."""
    return not scores or (scores[0] < _LARGEST and scores[-1] > -_LARGEST and all(map(operator.gt, scores, scores[1:])))


def _lowered(scores: array[float]) -> array[float]:
    """Lower each score that is not below the previous one to the next smaller float32.

    Read as integers, the bits of positive floats ascend with the floats, and those of negative floats descend. With the
    latter mirrored, the next smaller float is the integer less one.
    """
    bits = memoryview(scores.tobytes()).cast("i")
    steps = (bit if bit >= 0 else -_SIGN - bit for bit in bits)
    falling = accumulate(steps, lambda before, step: min(step, before - 1))
    turned = array("i", (step if step >= 0 else -_SIGN - step for step in falling))
    return array("f", turned.tobytes())
