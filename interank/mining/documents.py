"""The choice of a question's documents: answers and pages that may help with it, and negatives."""

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

# The Jaccard similarity of words above which a document cannot be a negative beside the other.
_NEAR_DUPLICATE = 0.8
# Spare candidates, which replace near-duplicates.
SPARE_CANDIDATES = 20

_NUMBER = re.compile("-?[0-9]{1,20}")

ChosenDocument = tuple[Origin, str]
"""The origin and the id of a question's document."""


class DocumentStore:
    """Documents by id: stored posts, converted to text on access, and passages of pages."""

    def __init__(self, posts: PostValues, sites: Sequence[str], barred: Collection[str] = ()) -> None:
        """Take the posts.

        Args:
            posts: The stored posts.
            sites: The names of the sites, in the order of their numbers.
            barred: Documents that must not be chosen.
        """
        self._posts = posts
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
        """Whether the document exists and may be chosen."""
        return doc_id not in self._barred and (doc_id in self._documents or self.post(doc_id) is not None)

    def post(self, doc_id: str) -> ChosenPost | None:
        """The post of a document; None if the document is not a stored post."""
        if self._last[0] != doc_id:
            site, _, number = doc_id.rpartition("/")
            fields = None
            if site in self._numbers and _NUMBER.fullmatch(number):
                fields = self._posts.get(self._numbers[site], int(number))
            self._last = doc_id, None if fields is None else ChosenPost(*fields)
        return self._last[1]

    def declined(self, doc_id: str) -> bool:
        """Whether the document is an answer that is marked as not accepted and has no votes."""
        post = self.post(doc_id)
        return post is not None and post.declined

    def text(self, doc_id: str) -> str:
        """The final text of a post."""
        post = self._post(doc_id)
        return html_to_text(post.html, site=post.site)

    def source(self, doc_id: str) -> Source:
        """The source of a document."""
        if doc_id in self._sources:
            return self._sources[doc_id]
        post = self._post(doc_id)
        return Source(post.site, str(post.post_id), post.url, post.author, post.licence)

    def words(self, doc_id: str) -> frozenset[str]:
        """The set of a document's words."""
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
    """The candidates for a question's documents, by document id, best first."""

    own: Sequence[str]
    linked: Sequence[str] = ()
    pages: Sequence[str] = ()
    ranked: Sequence[str] = ()
    """Answers that BM25 ranks highest for the question: candidates for hard negatives."""
    pool: Sequence[str] = ()
    """Answers from which random negatives are drawn."""
    no_negatives: frozenset[str] = field(default_factory=frozenset)
    """Answers that cannot be negatives: those to the question and to linked questions."""


def most_documents(settings: MiningRecipe) -> int:
    """The most documents that a question is paired with."""
    wanted = settings.documents
    return settings.documents_per_question if wanted is None else sum(wanted.model_dump().values())


def choose_documents(
    store: DocumentStore, candidates: Candidates, settings: MiningRecipe, rng: random.Random
) -> list[ChosenDocument]:
    """Choose the documents of a question; none if it needs negatives and the site has no suitable one."""
    wanted = settings.documents or _shares(settings.documents_per_question)
    own = [doc_id for doc_id in candidates.own if store.holds(doc_id)]
    if all(store.declined(doc_id) for doc_id in own):
        # If only declined answers are usable, none is taken: one must not replace an accepted answer.
        own = []
    linked = (doc_id for doc_id in candidates.linked if store.holds(doc_id))
    pages = (doc_id for doc_id in candidates.pages if store.holds(doc_id))
    best = wanted.accepted_answer
    chosen: list[ChosenDocument] = [("accepted_answer", doc_id) for doc_id in own[:best]]
    chosen += [("answer", doc_id) for doc_id in own[best : best + wanted.answer]]
    remaining = own[best + wanted.answer :]
    chosen += [("low_answer", doc_id) for doc_id in remaining[::-1][: wanted.low_answer]]
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
    negatives = list(_negatives(store, candidates, chosen, rng, (hard_wanted, rest)))
    return [*chosen, *negatives] if negatives or not rest else []


def _shares(documents: int) -> DocumentsRecipe:
    """The default shares: documents that may help; negatives take the rest."""
    return DocumentsRecipe(
        answer=int(documents > 2), linked_answer=int(documents > 3), page=int(documents > 4), hard_negative=1
    )


def _negatives(
    store: DocumentStore,
    candidates: Candidates,
    chosen: Sequence[ChosenDocument],
    rng: random.Random,
    counts: tuple[int, int],
) -> Iterator[ChosenDocument]:
    hard_wanted, rest = counts
    good = dict.fromkeys([*candidates.own, *(doc_id for _, doc_id in chosen)])
    good_words = [store.words(doc_id) for doc_id in good]

    def differs(doc_id: str) -> bool:
        return store.holds(doc_id) and not _repeats(store.words(doc_id), good_words)

    hard = list(islice((doc_id for doc_id in candidates.ranked if differs(doc_id)), hard_wanted))
    unusable = candidates.no_negatives | set(hard)
    size = len(candidates.pool)
    drawn = rng.sample(range(size), min(size, rest + len(unusable) + SPARE_CANDIDATES))
    others = (candidates.pool[place] for place in drawn)
    easy = islice((doc_id for doc_id in others if doc_id not in unusable and differs(doc_id)), rest - len(hard))
    yield from (("hard_negative", doc_id) for doc_id in hard)
    yield from (("random_negative", doc_id) for doc_id in easy)


def _repeats(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    """Whether the words are a near-duplicate of one of the others, by Jaccard similarity."""
    return any(len(words & other) > _NEAR_DUPLICATE * len(words | other) for other in others)
