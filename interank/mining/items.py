"""What a check for contamination is shown of what mining may use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple


class Item(NamedTuple):
    """A question or a document that mining may use, as a check for contamination sees it."""

    item_id: str
    """The query's or document's id."""
    kind: Literal["question", "document"]
    site: str
    post_id: str
    """Empty for a page."""
    thread_id: str
    """The id of the question it is or answers; empty for a page."""
    url: str
    text: str


ContaminationCheck = Callable[[Iterable[Item]], Collection[str]]
"""Told items, of which there may be millions, one at a time: the ids of those that must not be used."""
