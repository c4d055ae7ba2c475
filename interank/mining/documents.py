"""Chooses the documents of a question: those that may help with it, and those that will not."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from interank.ir.bm25 import tokenize
from interank.mining.post_values import ChosenPost, PostValues
from interank.mining.text import html_to_text, plain_text
from interank.settings import DocumentsRecipe, MiningRecipe
from interank.types import Document, Origin, Source

# Documents that share more of their words than this say the same; one cannot be the other's negative.
_NEAR_DUPLICATE = 0.8
# Candidates beyond those needed, to lose near-duplicates from.
SPARE_CANDIDATES = 20

_NUMBER = re.compile("-?[0-9]{1,20}")

Chosen = tuple[Origin, str]
"""A document's id and how it came to the question."""


class Shelf:
    """The documents at hand by id: posts as they are kept, turned into text when asked for, and passages of pages."""

    def __init__(self, posts: PostValues, sites: Sequence[str], barred: Collection[str] = ()) -> None:
        """Begin with posts.

        Args:
            posts: What is kept of them.
            sites: The sites' names by their numbers.
            barred: Documents that must not be chosen.
        """
        self._kept = posts
        self._numbers = {name: number for number, name in enumerate(sites)}
        self._documents: dict[str, Document] = {}
        self._sources: dict[str, Source] = {}
        self._barred = barred
        self._last: tuple[str, ChosenPost | None] = "", None

    def put(self, document: Document, source: Source) -> None:
        """Add a document."""
        self._documents[document.doc_id] = document
        self._sources[document.doc_id] = source

    def holds(self, doc_id: str) -> bool:
        """Whether the document is here and may be chosen."""
        return doc_id not in self._barred and (doc_id in self._documents or self.post(doc_id) is not None)

    def post(self, doc_id: str) -> ChosenPost | None:
        """The post behind a document, if it is one."""
        if self._last[0] != doc_id:
            site, _, number = doc_id.rpartition("/")
            told = None
            if site in self._numbers and _NUMBER.fullmatch(number):
                told = self._kept.get(self._numbers[site], int(number))
            self._last = doc_id, None if told is None else ChosenPost(*told)
        return self._last[1]

    def declined(self, doc_id: str) -> bool:
        """Whether the document is an answer that is marked as not accepted and has no votes."""
        post = self.post(doc_id)
        return post is not None and post.declined

    def text(self, doc_id: str) -> str:
        """A post as it is paired."""
        post = self._post(doc_id)
        return html_to_text(post.html, site=post.site)

    def source(self, doc_id: str) -> Source:
        """Where a document is from."""
        if doc_id in self._sources:
            return self._sources[doc_id]
        post = self._post(doc_id)
        return Source(post.site, str(post.post_id), post.url, post.author, post.licence)

    def words(self, doc_id: str) -> frozenset[str]:
        """The different words of a document."""
        if doc_id in self._documents:
            return frozenset(tokenize(self._documents[doc_id].full_text))
        return frozenset(tokenize(plain_text(self._post(doc_id).html)))

    def _post(self, doc_id: str) -> ChosenPost:
        post = self.post(doc_id)
        if post is None:
            raise KeyError(doc_id)
        return post


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a question's documents are chosen from, by document id, best first."""

    own: Sequence[str]
    linked: Sequence[str] = ()
    pages: Sequence[str] = ()
    ranked: Sequence[str] = ()
    """Answers that share many words with the question."""
    pool: Sequence[str] = ()
    """Answers that negatives are drawn from."""
    no_negatives: frozenset[str] = field(default_factory=frozenset)
    """Answers to the question and to those linked with it."""


def most_documents(settings: MiningRecipe) -> int:
    """How many documents a question is paired with at most."""
    wanted = settings.documents
    return settings.documents_per_question if wanted is None else sum(wanted.model_dump().values())


def choose_documents(shelf: Shelf, candidates: Candidates, settings: MiningRecipe, rng: random.Random) -> list[Chosen]:
    """The documents of a question; none where the site has no negative for it although one is asked for."""
    wanted = settings.documents or _shares(settings.documents_per_question)
    own = [doc_id for doc_id in candidates.own if shelf.holds(doc_id)]
    if all(shelf.declined(doc_id) for doc_id in own):
        # What was accepted may not be chosen, and what was declined is not the best instead.
        own = []
    linked = (doc_id for doc_id in candidates.linked if shelf.holds(doc_id))
    pages = (doc_id for doc_id in candidates.pages if shelf.holds(doc_id))
    best = wanted.accepted_answer
    chosen: list[Chosen] = [("accepted_answer", doc_id) for doc_id in own[:best]]
    chosen += [("answer", doc_id) for doc_id in own[best : best + wanted.answer]]
    left = own[best + wanted.answer :]
    chosen += [("low_answer", doc_id) for doc_id in left[::-1][: wanted.low_answer]]
    chosen += [("linked_answer", doc_id) for doc_id in islice(linked, wanted.linked_answer)]
    chosen += [("page", doc_id) for doc_id in islice(pages, wanted.page)]
    if not chosen:
        return []
    if settings.documents is None:
        rest = settings.documents_per_question - len(chosen)
        hard_wanted = math.ceil(rest / 2)
    else:
        rest = wanted.hard_negative + wanted.random_negative
        hard_wanted = wanted.hard_negative
    negatives = list(_negatives(shelf, candidates, chosen, rng, (hard_wanted, rest)))
    return [*chosen, *negatives] if negatives or not rest else []


def _shares(documents: int) -> DocumentsRecipe:
    """What a question gets that may help with it; negatives take the rest."""
    return DocumentsRecipe(
        answer=int(documents > 2), linked_answer=int(documents > 3), page=int(documents > 4), hard_negative=1
    )


def _negatives(
    shelf: Shelf, candidates: Candidates, chosen: Sequence[Chosen], rng: random.Random, counts: tuple[int, int]
) -> Iterator[Chosen]:
    hard_wanted, rest = counts
    good = dict.fromkeys([*candidates.own, *(doc_id for _, doc_id in chosen)])
    good_words = [shelf.words(doc_id) for doc_id in good]

    def differs(doc_id: str) -> bool:
        return shelf.holds(doc_id) and not _repeats(shelf.words(doc_id), good_words)

    hard = list(islice((doc_id for doc_id in candidates.ranked if differs(doc_id)), hard_wanted))
    taken = candidates.no_negatives | set(hard)
    size = len(candidates.pool)
    drawn = rng.sample(range(size), min(size, rest + len(taken) + SPARE_CANDIDATES))
    others = (candidates.pool[place] for place in drawn)
    easy = islice((doc_id for doc_id in others if doc_id not in taken and differs(doc_id)), rest - len(hard))
    yield from (("hard_negative", doc_id) for doc_id in hard)
    yield from (("random_negative", doc_id) for doc_id in easy)


def _repeats(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    """Whether the Jaccard similarity with one of the others passes for a near-duplicate."""
    return any(len(words & other) > _NEAR_DUPLICATE * len(words | other) for other in others)
