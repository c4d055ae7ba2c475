"""Pairs of query and document as rows of token ids for a pointwise head; untrusted text stays text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from interank.engines.plain_text import PlainText, beginning
from interank.errors import ModelError
from interank.settings import HeadSettings
from interank.types import Document, Query

if TYPE_CHECKING:
    # Recipes must not load torch, and they import `prompts`, which imports this module.
    import torch

# The separator of the parts, for tokenizers that put no beginning-of-sequence token before them.
_SEPARATOR = "\n"


class Pair(NamedTuple):
    """A query and a document in one row of ids."""

    ids: tuple[int, ...]
    second: int
    """The place at which the document's part begins."""
    cut: int = 0
    """Tokens at the document's end that there was no room for."""


class Frame(NamedTuple):
    """The ids around a pair's parts."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]


class PairBatch(NamedTuple):
    """Rows padded on the right, as a model takes them."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor
    """1 for the document's part if the tokenizer has token types, else 0; for encoders."""
    places: torch.Tensor
    """The place of each row at which the score is read, if the pooling is `last`."""


class PairEncoder:
    """Turns queries and documents into pairs for one tokenizer and one head's settings."""

    def __init__(self, tokenizer: Any, settings: HeadSettings) -> None:
        """Take the ids around a pair's parts from the tokenizer.

        Raises:
            ModelError: The tokenizer lacks what the settings ask for.
        """
        self.tokenizer = tokenizer
        self.settings = settings
        self.plain = PlainText(tokenizer, unknown=settings.pooling == "first")
        self.typed = "token_type_ids" in tokenizer.model_input_names
        """Whether this tokenizer's models take token types."""
        self.frame = self._frame()
        self._last: tuple[str, tuple[int, ...]] | None = None

    def ids(self, query: Query, document: Document) -> list[int]:
        """The ids of the pair's row."""
        return list(self.pair(query, document).ids)

    def pair(self, query: Query, document: Document, explanation: str | None = None) -> Pair:
        """The pair, with query and document cut to their limits, and the document to what fits.

        A head that reads explanations needs one. The document's cut does not depend on it, so that all explanations of
        a pair follow the same tokens.

        Raises:
            ValueError: There is an explanation and the head reads none, or the other way round.
        """
        before, between, after = self.frame
        most = self.settings.max_explanation_tokens
        if (explanation is None) != (most is None):
            raise ValueError("an explanation is needed if max_explanation_tokens is set, and not allowed otherwise")
        head = before + self._query(query.text) + between
        room = self.settings.max_length - len(head) - len(after)
        if most is not None:
            room -= len(between) + most
        text = self.plain(self.settings.document_prefix + self._text(document))
        kept = text[: max(0, min(room, self.settings.document_tokens))]
        ids = head + kept
        if explanation is not None:
            ids += between + self.plain(self.settings.explanation_prefix + explanation.strip())[:most]
        return Pair(ids + after, len(head), len(text) - len(kept))

    def query_cut(self, query: Query) -> int:
        """How many tokens at the query's end there is no room for."""
        return max(0, len(self.plain(self.settings.query_prefix + query.text)) - self.settings.max_query_tokens)

    def batch(self, pairs: Sequence[Pair], device: Any = "cpu") -> PairBatch:
        """The pairs padded on the right to the longest, in the legacy form to `max_length`."""
        import torch

        legacy = self.settings.legacy == "dear"
        width = self.settings.max_length if legacy else max(len(pair.ids) for pair in pairs)
        ids = torch.full((len(pairs), width), self.tokenizer.pad_token_id)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, pair in enumerate(pairs):
            ids[row, : len(pair.ids)] = torch.tensor(pair.ids)
            mask[row, : len(pair.ids)] = 1
            types[row, pair.second : len(pair.ids)] = int(self.typed)
        places = torch.full((len(pairs),), width - 1) if legacy else mask.sum(1) - 1
        return PairBatch(ids.to(device), mask.to(device), types.to(device), places.to(device))

    def _query(self, text: str) -> tuple[int, ...]:
        """The query's part, cached for the next document, since the documents of a query come in a row."""
        if self._last is None or self._last[0] != text:
            self._last = (text, self.plain(self.settings.query_prefix + text)[: self.settings.max_query_tokens])
        return self._last[1]

    def _text(self, document: Document) -> str:
        # DeAR's models were trained with a blank for a title that is not there.
        return f"{document.title} {document.text}" if self.settings.legacy == "dear" else document.full_text

    def _frame(self) -> Frame:
        if self.settings.template:
            return self._template()
        begin, end = beginning(self.tokenizer), self.tokenizer.eos_token_id
        if self.settings.end_token and end is None:
            raise ModelError("this tokenizer has no end-of-sequence token; set end_token: false")
        return Frame(begin, begin or self.plain(_SEPARATOR), (end,) if self.settings.end_token else ())

    def _template(self) -> Frame:
        """The tokenizer's own frame, as `[CLS] query [SEP] document [SEP]`."""
        ids = tuple(self.tokenizer("a", "b")["input_ids"])
        first, second = self.plain("a"), self.plain("b")
        start = _index_of(first, ids, 0)
        stop = _index_of(second, ids, start + len(first))
        return Frame(ids[:start], ids[start + len(first) : stop], ids[stop + len(second) :])


def _index_of(part: tuple[int, ...], ids: tuple[int, ...], start: int) -> int:
    for place in range(start, len(ids) - len(part) + 1):
        if ids[place : place + len(part)] == part:
            return place
    raise ModelError("this tokenizer writes a pair in a form that interank does not know; use another model")
