"""The work that mining shares out among processes: indexing the pool, choosing documents, converting posts to text."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from interank.errors import InputError
from interank.ir.bm25 import analyser
from interank.ir.bm25.postings import Postings, Terms, numbered
from interank.mining.database import QuestionWithAnswers
from interank.mining.documents import (
    SPARE_CANDIDATES,
    Candidates,
    ChosenDocument,
    DocumentStore,
    choose_documents,
    most_documents,
)
from interank.mining.post_values import ChosenPost, PostValues
from interank.mining.processes import parallel_map, processes_of
from interank.mining.text import html_to_text, plain_text
from interank.settings import MiningRecipe
from interank.types import Document, Source

T = TypeVar("T")

# The number of posts or questions in a share, the unit of work of a process.
_POSTS, _QUESTIONS = 1000, 64
# The least number of shares for which starting processes is worth its time.
_WORTH = 4


class Question(NamedTuple):
    """A question with the candidates for its documents."""

    answers: QuestionWithAnswers
    pages: Sequence[tuple[Document, Source]] = ()
    """Passages of pages that its answers link to, best first."""


class Choice(NamedTuple):
    """A question's text and its chosen documents."""

    post_id: int
    text: str
    documents: list[ChosenDocument]


@dataclass(frozen=True, slots=True)
class SiteContext:
    """The files, settings and seed that the processes share while they mine a site."""

    folder: Path
    sites: tuple[str, ...]
    site: int
    settings: MiningRecipe
    seed: int

    @property
    def posts(self) -> Path:
        """The file of the selected posts."""
        return self.folder / "posts.sqlite"

    @property
    def index(self) -> Path:
        """The folder of the pool's index."""
        return self.folder / f"pool-{self.site}"

    def doc_id(self, post_id: int, site: int | None = None) -> str:
        """The id of an answer as a document."""
        return f"{self.sites[self.site if site is None else site]}/{post_id}"

    def make_index(self, pool: Sequence[int]) -> None:
        """Index the pool's answers, given by their sorted ids.

        Raises:
            InputError: No answer has a word.
        """
        parts = parallel_map(_Indexing(self), _shares(pool, _POSTS), self._processes(pool, _POSTS))
        postings = Postings.joined(parts, "counts")
        if not postings.term_count:
            raise InputError(
                f"the answers of {self.sites[self.site]} ({len(pool)}) hold no letter or digit, and negatives are "
                "searched by words; give other dumps, or leave this one out by mining.exclude_sites"
            )
        postings.save(self.index)
        np.save(self.index / "pool.npy", np.array(pool, np.int64))

    def choose(self, questions: Sequence[Question], barred: frozenset[str]) -> Iterator[Choice]:
        """Choose the documents of each question, without the barred ones."""
        work = _Choosing(self, barred)
        for share in parallel_map(work, _shares(questions, _QUESTIONS), self._processes(questions, _QUESTIONS)):
            yield from share

    def texts(self, doc_ids: Sequence[str]) -> Iterator[str]:
        """The final texts of posts."""
        for share in parallel_map(_Converting(self), _shares(doc_ids, _POSTS), self._processes(doc_ids, _POSTS)):
            yield from share

    def store(self, barred: frozenset[str] = frozenset()) -> DocumentStore:
        """The documents among the selected posts."""
        return DocumentStore(_values(self.posts), self.sites, barred)

    def _processes(self, things: Sequence[object], share: int) -> int:
        return processes_of(self.settings.processes) if len(things) >= _WORTH * share else 1


def forget() -> None:
    """Close the files that this process has cached."""
    _values.cache_clear()
    _pool.cache_clear()


def _shares(things: Sequence[T], size: int) -> list[Sequence[T]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


@lru_cache(1)
def _values(path: Path) -> PostValues:
    return PostValues(path)


@lru_cache(1)
def _pool(folder: Path) -> tuple[Postings, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return Postings.stored(folder), np.load(folder / "pool.npy")


@dataclass(frozen=True, slots=True)
class _Indexing:
    context: SiteContext

    def __call__(self, post_ids: Sequence[int]) -> Terms:
        values = _values(self.context.posts)
        posts = (ChosenPost(*values.get(self.context.site, post_id)) for post_id in post_ids)
        terms_of = analyser(self.context.settings.language)
        return numbered(terms_of(plain_text(post.html)) for post in posts)


@dataclass(frozen=True, slots=True)
class _Converting:
    context: SiteContext

    def __call__(self, doc_ids: Sequence[str]) -> list[str]:
        store = self.context.store()
        return [store.text(doc_id) for doc_id in doc_ids]


@dataclass(frozen=True, slots=True)
class _Choosing:
    context: SiteContext
    barred: frozenset[str]

    def __call__(self, questions: Sequence[Question]) -> list[Choice]:
        return [self._choice(question) for question in questions]

    def _choice(self, question: Question) -> Choice:
        context, answers = self.context, question.answers
        store = context.store(self.barred)
        for document, source in question.pages:
            store.put(document, source)
        post = ChosenPost(*_values(context.posts).get(context.site, answers.post_id))
        text = joined(post.title, html_to_text(post.html, site=post.site))
        postings, pool = _pool(context.index)
        related = np.array([*answers.own, *answers.near], np.int64)
        places = np.searchsorted(pool, related)
        in_pool = places[pool[np.minimum(places, len(pool) - 1)] == related]
        wanted = most_documents(context.settings) + SPARE_CANDIDATES
        best, _ = postings.search(analyser(context.settings.language)(text), wanted, barred=in_pool.tolist())
        candidates = Candidates(
            own=[context.doc_id(answer) for answer in answers.own],
            linked=[context.doc_id(answer, site) for site, answer in answers.linked],
            pages=[document.doc_id for document, _ in question.pages],
            ranked=[context.doc_id(answer) for answer in pool[best].tolist()],
            pool=_Pool(context, pool),
            no_negatives=frozenset(map(context.doc_id, related.tolist())),
        )
        # A generator for each question, so that its documents do not depend on the other questions.
        rng = random.Random(f"{context.seed}/{context.doc_id(answers.post_id)}")
        return Choice(answers.post_id, text, choose_documents(store, candidates, context.settings, rng))


class _Pool(Sequence[str]):
    """The document ids of the pool, each made on access."""

    def __init__(self, context: SiteContext, post_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self._context = context
        self._post_ids = post_ids

    def __len__(self) -> int:
        return len(self._post_ids)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        return self._context.doc_id(int(self._post_ids[place]))


def joined(title: str, body: str) -> str:
    """A question's title and body as one text, without an empty line if one of them is empty."""
    return f"{title}\n{body}" if title.strip() and body.strip() else title if title.strip() else body
