"""Listwise prompts and answers as token ids, the same in training and ranking: a query and a window of documents."""

from __future__ import annotations

from collections.abc import Sequence

from interank.settings import ListPromptSettings
from interank.tasks.order import ordering
from interank.tasks.window_prompts import WindowEncoder
from interank.types import Document, Query

# Tokens besides the ranking's: the lead, the gap, and what another order may take more.
_ANSWER_ROOM = 16


class ListEncoder(WindowEncoder[ListPromptSettings]):
    """Prompts that ask for an order of the window, and the answers to them."""

    least_reasoning = 8

    def chat(self, query: str, documents: Sequence[str], instruction: str = "") -> list[dict[str, str]]:
        """See `WindowEncoder`."""
        return ordering.render(query, documents, self.settings.form, instruction)

    def shown(self, document: Document) -> str:
        """See `WindowEncoder`."""
        return ordering.as_shown(document.full_text, self.settings.form)

    def messages(self, query: Query, documents: Sequence[Document], *, reasoning_tokens: int) -> list[dict[str, str]]:
        """The prompt as chat messages, for servers that take no ids; texts are cut by this encoder's tokens."""
        cuts = self.prompt(query, documents, reasoning_tokens=reasoning_tokens).cuts
        texts = []
        for document, cut in zip(documents, cuts, strict=True):
            shown = self.shown(document)
            texts.append(self.encoder.text(self.encoder.plain(shown)[:-cut]) if cut else shown)
        ids = self.encoder.plain(query.text)
        instruction = self.settings.instruction_of(query)
        room = self.query_room(instruction)
        text = query.text if len(ids) <= room else self.encoder.text(ids[:room])
        return self.chat(text, texts, instruction)

    def answer(self, positions: Sequence[int], reasoning: str, *, reasoning_tokens: int) -> tuple[int, ...]:
        """The answer's ids with its end-of-turn; the reasoning is cut at `reasoning_tokens`, the ranking never."""
        thought = self.encoder.plain(reasoning)[:reasoning_tokens]
        ranking = self.encoder.plain(ordering.answer(positions, form=self.settings.form))
        return (*thought, *(self.encoder.gap if thought else ()), *ranking, self.end)

    def answer_tokens(self, size: int, reasoning_tokens: int) -> int:
        """The tokens of an answer about `size` documents, with its reasoning."""
        ranking = self.encoder.plain(ordering.answer(range(size), form=self.settings.form))
        thought = 0 if self.settings.form == "direct" else reasoning_tokens
        return len(ranking) + thought + _ANSWER_ROOM
