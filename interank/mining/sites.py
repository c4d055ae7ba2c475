"""One site of a dump in memory: its questions, the answers that serve as documents, and what links them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interank.mining.stackexchange import Counts, Link, Post, Thread, read_links, read_posts, threads
from interank.mining.text import html_to_text
from interank.types import Document


@dataclass(frozen=True, slots=True)
class Site:
    """A site's posts by id. Answers that are too short or belong to no question are in none of the fields."""

    name: str
    questions: Mapping[int, Post]
    answers: Mapping[int, tuple[int, ...]]
    """The answers of each question, the accepted one first, then by votes."""
    posts: Mapping[int, Post]
    """The answers as posts."""
    documents: Mapping[int, Document]
    """The answers as text."""
    answer_ids: tuple[int, ...]
    """The answers, ascending."""
    related: Mapping[int, tuple[int, ...]]
    """The questions linked with each question, in either direction; duplicates first, then by votes of their
    first answer."""
    counts: Counts


def load_site(name: str, folder: Path, *, min_document_words: int) -> Site:
    """Read a dump's folder and take the text of its answers.

    Raises:
        InputError: The folder has no posts, or a file of it declares a document type.
    """
    counts = Counts()
    found = threads(read_posts(folder, name, counts), counts)
    links = [*read_links(folder, counts), *body_links(found, name)]
    posts: dict[int, Post] = {}
    documents: dict[int, Document] = {}
    for answer in sorted((answer for thread in found for answer in thread.answers), key=_post_id):
        text = html_to_text(answer.html, site=name)
        if len(text.split()) >= min_document_words:
            posts[answer.post_id] = answer
            documents[answer.post_id] = Document(f"{name}/{answer.post_id}", text)
    answers = {
        thread.question.post_id: tuple(answer.post_id for answer in _best_first(thread) if answer.post_id in documents)
        for thread in found
    }
    return Site(
        name=name,
        questions={thread.question.post_id: thread.question for thread in found},
        answers=answers,
        posts=posts,
        documents=documents,
        answer_ids=tuple(documents),
        related=_related(found, links, answers, posts),
        counts=counts,
    )


def body_links(found: Sequence[Thread], site: str) -> Iterator[Link]:
    """The links in questions and answers to other posts of the site."""
    # As people paste them: with or without a scheme, /questions/7/title, /q/7/user, /a/8/user, or relative.
    address = re.compile(
        rf"""(?:(?:https?:|["'])//{re.escape(site)}|href=["'])/(?:questions|q|a)/([0-9]{{1,18}})""",
        re.IGNORECASE,
    )
    for thread in found:
        for post in (thread.question, *thread.answers):
            for match in address.finditer(post.html):
                yield Link(post.post_id, int(match.group(1)), duplicate=False)


def _post_id(post: Post) -> int:
    return post.post_id


def _best_first(thread: Thread) -> list[Post]:
    accepted = thread.question.accepted_answer_id
    return sorted(thread.answers, key=lambda answer: (answer.post_id != accepted, -answer.score, answer.post_id))


def _related(
    found: Sequence[Thread],
    links: Sequence[Link],
    answers: Mapping[int, tuple[int, ...]],
    posts: Mapping[int, Post],
) -> dict[int, tuple[int, ...]]:
    owner = {post.post_id: thread.question.post_id for thread in found for post in (thread.question, *thread.answers)}
    duplicates: dict[int, dict[int, bool]] = {thread.question.post_id: {} for thread in found}
    for link in links:
        one, other = owner.get(link.post_id), owner.get(link.related_id)
        if one is None or other is None or one == other:
            continue
        for here, there in ((one, other), (other, one)):
            duplicates[here][there] = duplicates[here].get(there, False) or link.duplicate

    def order(question_id: int, duplicate: bool) -> tuple[bool, float, int]:
        votes = max((posts[answer_id].score for answer_id in answers[question_id][:1]), default=-float("inf"))
        return (not duplicate, -votes, question_id)

    return {
        question_id: tuple(sorted(linked, key=lambda other: order(other, linked[other])))
        for question_id, linked in duplicates.items()
    }
