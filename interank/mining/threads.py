"""What is kept in memory of every post of a site: its id, thread, votes and links, some 40 bytes, and no text."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interank.mining.rows import BadRowError, Row, Tally
from interank.mining.stackexchange import Counts, Link, Post, links_in, post_from
from interank.mining.text import plain_text
from interank.settings import MiningRecipe

Ids = NDArray[np.int64]

# What stands for no post.
_NONE = -(1 << 62)


def _numbers() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Outline:
    """The posts of a site, or of a part of its file, in the order of the file; adds up."""

    questions: array[int] = field(default_factory=lambda: array("b"))
    """1 for a question, 0 for an answer."""
    ids: array[int] = field(default_factory=_numbers)
    others: array[int] = field(default_factory=_numbers)
    """A question's accepted answer, an answer's question."""
    scores: array[int] = field(default_factory=_numbers)
    fits: array[int] = field(default_factory=lambda: array("b"))
    """Whether a question may be taken, or an answer serve as a document."""
    declined: array[int] = field(default_factory=lambda: array("b"))
    """Whether an answer is marked as not accepted and has no votes."""
    links: list[Link] = field(default_factory=list)
    other_posts: int = 0

    def add(self, post: Post, settings: MiningRecipe, sites: Collection[str]) -> None:
        """Add one post."""
        question = post.kind == "question"
        other = post.accepted_answer_id if question else post.parent_id
        self.questions.append(question)
        self.ids.append(post.post_id)
        self.others.append(_NONE if other is None else other)
        self.scores.append(post.score)
        self.declined.append(post.declined)
        self.fits.append(_may_be_taken(post, settings) if question else _is_long_enough(post, settings))
        self.links.extend(links_in(post.html, post.post_id, sites, post.site))

    def extend(self, later: Outline) -> None:
        """Add what follows in the file."""
        self.questions.extend(later.questions)
        self.ids.extend(later.ids)
        self.others.extend(later.others)
        self.scores.extend(later.scores)
        self.fits.extend(later.fits)
        self.declined.extend(later.declined)
        self.links.extend(later.links)
        self.other_posts += later.other_posts


@dataclass(frozen=True, slots=True)
class Outliner:
    """Makes the outline of some rows of a Posts.xml."""

    site: str
    settings: MiningRecipe
    sites: frozenset[str]

    def __call__(self, rows: Iterator[Row], tally: Tally) -> Outline:
        """Outline the rows, skipping those that are no sound posts."""
        outline = Outline()
        for row in rows:
            try:
                post = post_from(row, self.site)
            except BadRowError as fault:
                tally.skip(row.line, fault)
                continue
            if post is None:
                outline.other_posts += 1
            else:
                outline.add(post, self.settings, self.sites)
        return outline


def _may_be_taken(question: Post, settings: MiningRecipe) -> bool:
    if question.score < settings.min_question_score or (question.closed and not settings.include_closed):
        return False
    tags = {*question.tags}
    if (settings.tags and not tags & {*settings.tags}) or tags & {*settings.exclude_tags}:
        return False
    if settings.min_question_words or settings.max_question_words is not None:
        words = len(plain_text(question.html).split())
        return settings.min_question_words <= words and words <= (settings.max_question_words or words)
    return True


def _is_long_enough(answer: Post, settings: MiningRecipe) -> bool:
    return len(plain_text(answer.html).split(None, settings.min_document_words)) >= settings.min_document_words


class Threads:
    """A site's questions and the answers that may serve as documents, by id."""

    def __init__(self, outline: Outline, removed: Collection[int] = ()) -> None:
        """Sort out the posts.

        Args:
            outline: Every post of the site.
            removed: Questions to leave out, with their answers.
        """
        ids, first = np.unique(np.frombuffer(outline.ids, np.int64), return_index=True)
        self.counts = Counts(other_posts=outline.other_posts, duplicate_ids=len(outline.ids) - len(ids))
        others = np.frombuffer(outline.others, np.int64)[first]
        scores = np.frombuffer(outline.scores, np.int64)[first]
        asks = np.frombuffer(outline.questions, np.int8)[first] == 1
        fits = np.frombuffer(outline.fits, np.int8)[first] == 1
        declined = np.frombuffer(outline.declined, np.int8)[first] == 1
        answered = np.isin(others, ids[asks])
        self.counts.questions = int(asks.sum())
        self.counts.answers = int((~asks).sum())
        self.counts.orphan_answers = int((~asks & ~answered).sum())
        self._ids = ids
        self._owners = np.where(asks, ids, np.where(answered, others, _NONE))
        if len(removed):
            self._owners[np.isin(self._owners, np.fromiter(removed, np.int64, len(removed)))] = _NONE
        held = self._owners != _NONE
        self._taken = asks & fits & held
        serves = ~asks & fits & held
        accepted = np.full(len(ids), _NONE, np.int64)
        accepted[asks] = others[asks]
        own_accepted = accepted[np.searchsorted(ids, self._owners[serves])] == ids[serves]
        # By question, the accepted answer first, then by votes, then by age; what was declined comes last.
        order = np.lexsort((ids[serves], -scores[serves], declined[serves], ~own_accepted, self._owners[serves]))
        self.answer_ids: Ids = ids[serves]
        self._answers: Ids = ids[serves][order]
        self._votes: Ids = scores[serves][order]
        self._answered: Ids = self._owners[serves][order]
        self._declined = declined[serves][order]
        self._all_answered: Ids = np.sort(self._owners[~asks & held])
        self.counts.unfit_questions = int((asks & ~fits & held).sum())
        self.eligible_questions = 0

    def eligible(self, min_answers: int) -> list[int]:
        """The questions that fit the settings, have so many answers and one that may be the best, ascending.

        `counts` says how many of the others lack what.
        """
        questions = self._ids[self._taken]
        enough = _numbers_of(self._answered, questions) >= min_answers
        # An answer that was declined comes first only where all were.
        helped = np.isin(questions, self._answered[~self._declined])
        answered = _numbers_of(self._all_answered, questions) >= min_answers
        self.counts.few_answers_questions = int((~answered).sum())
        self.counts.short_answers_questions = int((answered & ~enough).sum())
        self.counts.declined_questions = int((enough & ~helped).sum())
        self.eligible_questions = int((enough & helped).sum())
        return [int(question) for question in questions[enough & helped]]

    def owner(self, post_id: int) -> int | None:
        """The question that a post is or answers; None where there is no such thread."""
        place = int(np.searchsorted(self._ids, post_id))
        if place == len(self._ids) or self._ids[place] != post_id or self._owners[place] == _NONE:
            return None
        return int(self._owners[place])

    def answers(self, question_id: int) -> list[int]:
        """A question's answers, the accepted one first, then by votes."""
        start, end = np.searchsorted(self._answered, [question_id, question_id + 1])
        return [int(answer) for answer in self._answers[start:end]]

    def best(self, question_id: int) -> list[int]:
        """The answer that comes first; none where there is none, or each was declined."""
        start, end = np.searchsorted(self._answered, [question_id, question_id + 1])
        return [int(self._answers[start])] if start < end and not self._declined[start] else []

    def best_votes(self, question_id: int) -> float:
        """The votes of the answer that comes first."""
        start, end = np.searchsorted(self._answered, [question_id, question_id + 1])
        return float(self._votes[start]) if start < end else -float("inf")


def _numbers_of(sorted_ids: Ids, wanted: Ids) -> Ids:
    """How often each of the wanted ids is there."""
    return np.searchsorted(sorted_ids, wanted, "right") - np.searchsorted(sorted_ids, wanted, "left")


class Relations:
    """Which threads the links of a site bind to some of its questions."""

    def __init__(self, threads: Threads, links: Iterable[Link], questions: Collection[int]) -> None:
        self._threads = threads
        self._related: dict[int, dict[int, bool]] = {}
        self._abroad: dict[int, dict[tuple[str, int], None]] = {}
        for link in links:
            one = threads.owner(link.post_id)
            if one is None:
                continue
            if link.site and one in questions:
                self._abroad.setdefault(one, {})[link.site, link.related_id] = None
            other = None if link.site else threads.owner(link.related_id)
            if other is None or one == other:
                continue
            for here, there in ((one, other), (other, one)):
                if here not in questions:
                    continue
                linked = self._related.setdefault(here, {})
                linked[there] = linked.get(there, False) or link.duplicate

    def related(self, question_id: int) -> list[int]:
        """The questions linked with a question, in either direction; duplicates first, then by votes."""
        linked = self._related.get(question_id, {})
        return sorted(linked, key=lambda other: (not linked[other], -self._threads.best_votes(other), other))

    def abroad(self, question_id: int) -> list[tuple[str, int]]:
        """The posts of other sites that a question or its answers link to."""
        return list(self._abroad.get(question_id, {}))
