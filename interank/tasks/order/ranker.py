"""Orders a query's documents by asking a model about windows of them; what could not be read keeps its order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from interank.engines.protocol import Conversing, Engine, Sampling
from interank.engines.soundness import require_completions
from interank.errors import InputError
from interank.settings import ListwiseRecipe
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.ordering import Ordering, Repairs
from interank.tasks.order.windows import Showing, Window, aggregated, follow, plan, showings
from interank.types import Document, Query, RankedDocument

AnyLists = ListwiseRecipe | Mapping[str, Any]
"""How a listwise reranker goes through documents, or the keys of that."""

_NUMBER = re.compile(r"\[(\d{1,4})\]")


@dataclass(frozen=True, slots=True)
class ListCounts:
    """What the answers were like."""

    answers: int = 0
    """Answers asked for: windows times shuffles."""
    unreadable: int = 0
    """Answers without a ranking."""
    repaired: int = 0
    """Answers that had to be mended."""
    unranked: int = 0
    """Windows that kept their order, as none of their answers could be read."""
    repairs: Repairs = field(default_factory=Repairs)
    """What was mended, by kind."""

    def __add__(self, other: ListCounts) -> ListCounts:
        return ListCounts(
            self.answers + other.answers,
            self.unreadable + other.unreadable,
            self.repaired + other.repaired,
            self.unranked + other.unranked,
            self.repairs + other.repairs,
        )

    def __sub__(self, other: ListCounts) -> ListCounts:
        return ListCounts(
            self.answers - other.answers,
            self.unreadable - other.unreadable,
            self.repaired - other.repaired,
            self.unranked - other.unranked,
            self.repairs - other.repairs,
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A query's documents in their order, as places in what was given."""

    order: tuple[int, ...]
    cuts: tuple[int, ...]
    """For each place the tokens at its document's end that some window had no room for."""
    reasoning: str
    """What was thought in the last window, which holds the first documents; they are named by their ids."""
    counts: ListCounts

    def ranking(self, documents: Sequence[Document]) -> list[RankedDocument]:
        """An order without grades: the first of n documents scores n, the last 1."""
        said = [self.reasoning or None, *[None] * len(documents)]
        return [
            RankedDocument(
                documents[place].doc_id,
                float(len(documents) - rank),
                explanation=said[rank],
                truncated=self.cuts[place],
            )
            for rank, place in enumerate(self.order)
        ]


class ListRanker:
    """Asks one model about windows, in one way of going through them."""

    def __init__(
        self, engine: Engine, encoder: ListEncoder, settings: ListwiseRecipe, *, max_reasoning_tokens: int
    ) -> None:
        self.engine = engine
        self.encoder = encoder
        self.settings = settings
        self.max_reasoning_tokens = max_reasoning_tokens

    def order(self, query: Query, documents: Sequence[Document]) -> Listed:
        """Go through the documents, which come in first-stage order.

        Raises:
            InputError: A window does not fit into a prompt.
        """
        asking = _Asking(self, query, documents)
        order = follow(plan(len(documents), self.settings), asking.answer)
        return Listed(tuple(order), tuple(asking.cuts), asking.reasoning, asking.counts)

    def texts(self, query: Query, windows: Sequence[Sequence[Document]]) -> tuple[list[str], list[tuple[int, ...]]]:
        """The model's answer about each window, and how many tokens each of its documents lost."""
        room = self.max_reasoning_tokens
        made = [self.encoder.prompt(query, window, reasoning_tokens=room) for window in windows]
        longest = max(self.encoder.answer_tokens(len(window), room) for window in windows)
        sampling = Sampling(longest, self.settings.temperature, self.settings.seed)
        cuts = [item.cuts for item in made]
        if "token_ids" not in self.engine.abilities and isinstance(self.engine, Conversing):
            asked = [self.encoder.messages(query, window, reasoning_tokens=room) for window in windows]
            conversations = [[(message["role"], message["content"]) for message in one] for one in asked]
            return self.engine.converse(conversations, sampling), cuts
        completions = self.engine.generate([item.prompt for item in made], sampling, end=self.encoder.end)
        require_completions(completions)
        return [self.encoder.encoder.text(item.ids) for item in completions], cuts


class _Asking:
    """What is learned while one query's windows are asked."""

    def __init__(self, ranker: ListRanker, query: Query, documents: Sequence[Document]) -> None:
        self._ranker = ranker
        self._query = query
        self._documents = documents
        self.cuts = [0] * len(documents)
        self.counts = ListCounts()
        self.reasoning = ""

    def answer(self, windows: list[Window]) -> list[Window]:
        """The windows in the orders that the model gives them."""
        ranker = self._ranker
        shown = showings(windows, ranker.settings, self._query.query_id)
        texts, cuts = ranker.texts(self._query, [[self._documents[p] for p in item.shown] for item in shown])
        read = [ordering.parse(text, len(item.shown)) for text, item in zip(texts, shown, strict=True)]
        for item, lost in zip(shown, cuts, strict=True):
            for place, tokens in zip(item.shown, lost, strict=True):
                self.cuts[place] = max(self.cuts[place], tokens)
        orders = [self._ordered(item, found) for item, found in zip(shown, read, strict=True)]
        times = ranker.settings.shuffles
        results = []
        for number, window in enumerate(windows):
            usable = [order for order in orders[number * times : (number + 1) * times] if order is not None]
            self.counts += ListCounts(unranked=not usable)
            results.append(aggregated(window, usable))
        self.reasoning = self._said(shown[-times:], read[-times:])
        return results

    def _ordered(self, item: Showing, found: Ordering | None) -> Window | None:
        if found is None:
            self.counts += ListCounts(answers=1, unreadable=1)
            return None
        self.counts += ListCounts(answers=1, repaired=found.repairs.total > 0, repairs=found.repairs)
        return item.back(found.positions, len(item.shown) - found.repairs.missing)

    def _said(self, shown: Sequence[Showing], read: Sequence[Ordering | None]) -> str:
        """The first readable answer's reasoning; its numbers mean nothing outside its window, ids do."""
        item, found = next(((i, f) for i, f in zip(shown, read, strict=True) if f is not None), (None, None))
        if item is None or found is None:
            return ""

        def named(match: re.Match[str]) -> str:
            position = int(match[1]) - 1
            return f"[{self._documents[item.shown[position]].doc_id}]" if 0 <= position < len(item.shown) else match[0]

        return _NUMBER.sub(named, found.reasoning)


def list_settings(mode: str, given: AnyLists | None) -> ListwiseRecipe | None:
    """How a listwise reranker goes through documents; None in the other modes, which take no such settings.

    Raises:
        InputError: They are of another form, or given in another mode.
    """
    if mode != "listwise":
        if given is not None:
            raise InputError(f"found settings of lists in mode {mode}; take mode listwise, or leave them out")
        return None
    try:
        return ListwiseRecipe.model_validate(given or {})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"lists: {where}{': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}") from None
