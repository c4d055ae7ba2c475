"""What each process of mining does with its share: index the pool, rank it and choose documents, make text of posts."""

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
    Chosen,
    Shelf,
    choose_documents,
    most_documents,
)
from interank.mining.post_values import ChosenPost, PostValues
from interank.mining.processes import processes_of, worked_on
from interank.mining.text import html_to_text, plain_text
from interank.settings import MiningRecipe
from interank.types import Document, Source

T = TypeVar("T")

# What a process takes at a time.
_POSTS, _QUESTIONS = 1000, 64
# With fewer shares a process would take longer to start than they take.
_WORTH = 4


class Question(NamedTuple):
    """A question with what its documents are chosen from."""

    asked: QuestionWithAnswers
    pages: Sequence[tuple[Document, Source]] = ()
    """Passages of pages that its answers link to, best first."""


class Choice(NamedTuple):
    """A question's text, and the documents that were chosen for it."""

    post_id: int
    text: str
    documents: list[Chosen]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the processes share while a site is mined: files, and what decides."""

    folder: Path
    sites: tuple[str, ...]
    site: int
    settings: MiningRecipe
    seed: int

    @property
    def posts(self) -> Path:
        """Where the posts that were chosen are kept."""
        return self.folder / "posts.sqlite"

    @property
    def index(self) -> Path:
        """Where the index of the pool is."""
        return self.folder / f"pool-{self.site}"

    def doc_id(self, post_id: int, site: int | None = None) -> str:
        """The id of an answer as a document."""
        return f"{self.sites[self.site if site is None else site]}/{post_id}"

    def make_index(self, pool: Sequence[int]) -> None:
        """Index the words of the answers of the pool, ascending.

        Raises:
            InputError: None has a word.
        """
        parts = worked_on(_Indexing(self), _shares(pool, _POSTS), self._processes(pool, _POSTS))
        postings = Postings.joined(parts, "counts")
        if not postings.term_count:
            raise InputError(
                f"the answers of {self.sites[self.site]} ({len(pool)}) hold no letter or digit that negatives "
                "could be searched by; give other dumps, or leave this one out by mining.exclude_sites"
            )
        postings.save(self.index)
        np.save(self.index / "pool.npy", np.array(pool, np.int64))

    def choose(self, questions: Sequence[Question], barred: frozenset[str]) -> Iterator[Choice]:
        """Choose the documents of each question, none of which is barred."""
        work = _Choosing(self, barred)
        for share in worked_on(work, _shares(questions, _QUESTIONS), self._processes(questions, _QUESTIONS)):
            yield from share

    def texts(self, doc_ids: Sequence[str]) -> Iterator[str]:
        """The texts of posts as they are paired."""
        for share in worked_on(_Converting(self), _shares(doc_ids, _POSTS), self._processes(doc_ids, _POSTS)):
            yield from share

    def shelf(self, barred: frozenset[str] = frozenset()) -> Shelf:
        """The posts that were chosen."""
        return Shelf(_kept(self.posts), self.sites, barred)

    def _processes(self, things: Sequence[object], share: int) -> int:
        return processes_of(self.settings.processes) if len(things) >= _WORTH * share else 1


def forget() -> None:
    """Close the files that this process has open."""
    _kept.cache_clear()
    _pool.cache_clear()


def _shares(things: Sequence[T], size: int) -> list[Sequence[T]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


@lru_cache(1)
def _kept(path: Path) -> PostValues:
    return PostValues(path)


@lru_cache(1)
def _pool(folder: Path) -> tuple[Postings, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return Postings.stored(folder), np.load(folder / "pool.npy")


@dataclass(frozen=True, slots=True)
class _Indexing:
    desk: Desk

    def __call__(self, post_ids: Sequence[int]) -> Terms:
        kept = _kept(self.desk.posts)
        posts = (ChosenPost(*kept.get(self.desk.site, post_id)) for post_id in post_ids)
        terms_of = analyser(self.desk.settings.language)
        return numbered(terms_of(plain_text(post.html)) for post in posts)


@dataclass(frozen=True, slots=True)
class _Converting:
    desk: Desk

    def __call__(self, doc_ids: Sequence[str]) -> list[str]:
        shelf = self.desk.shelf()
        return [shelf.text(doc_id) for doc_id in doc_ids]


@dataclass(frozen=True, slots=True)
class _Choosing:
    desk: Desk
    barred: frozenset[str]

    def __call__(self, questions: Sequence[Question]) -> list[Choice]:
        return [self._choice(question) for question in questions]

    def _choice(self, question: Question) -> Choice:
        desk, asked = self.desk, question.asked
        shelf = desk.shelf(self.barred)
        for document, source in question.pages:
            shelf.put(document, source)
        post = ChosenPost(*_kept(desk.posts).get(desk.site, asked.post_id))
        text = joined(post.title, html_to_text(post.html, site=post.site))
        postings, pool = _pool(desk.index)
        answers = np.array([*asked.own, *asked.near], np.int64)
        places = np.searchsorted(pool, answers)
        there = places[pool[np.minimum(places, len(pool) - 1)] == answers]
        wanted = most_documents(desk.settings) + SPARE_CANDIDATES
        best, _ = postings.search(analyser(desk.settings.language)(text), wanted, barred=there.tolist())
        candidates = Candidates(
            own=[desk.doc_id(answer) for answer in asked.own],
            linked=[desk.doc_id(answer, site) for site, answer in asked.linked],
            pages=[document.doc_id for document, _ in question.pages],
            ranked=[desk.doc_id(answer) for answer in pool[best].tolist()],
            pool=_Pool(desk, pool),
            no_negatives=frozenset(map(desk.doc_id, answers.tolist())),
        )
        # A generator for each question, so that its documents do not depend on which others were chosen.
        rng = random.Random(f"{desk.seed}/{desk.doc_id(asked.post_id)}")
        return Choice(asked.post_id, text, choose_documents(shelf, candidates, desk.settings, rng))


class _Pool(Sequence[str]):
    """The documents of the pool, each named when it is asked for."""

    def __init__(self, desk: Desk, post_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self._desk = desk
        self._post_ids = post_ids

    def __len__(self) -> int:
        return len(self._post_ids)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        return self._desk.doc_id(int(self._post_ids[place]))


def joined(title: str, body: str) -> str:
    """A question's text; no line stands for a title or a body that is not there."""
    return f"{title}\n{body}" if title.strip() and body.strip() else title if title.strip() else body
