"""Questions and documents as mining shows them to a contamination check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple


class Item(NamedTuple):
    """A question or a document that mining may use, as a contamination check sees it."""

    item_id: str
    """The id of the query or document."""
    kind: Literal["question", "document"]
    site: str
    post_id: str
    """Empty for a page."""
    thread_id: str
    """The id of the question, or of the question that the document answers; empty for a page."""
    url: str
    text: str


ContaminationCheck = Callable[[Iterable[Item]], Collection[str]]
"""A contamination check: it takes a stream of items, perhaps millions, and returns the ids of those to leave out."""
