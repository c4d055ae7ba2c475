"""Listwise prompts and answers as token ids, the same for training and use: a query and a window of its documents."""

from __future__ import annotations

from collections.abc import Sequence

from interank.settings import ListPromptSettings
from interank.tasks.order import ordering
from interank.tasks.window_prompts import WindowEncoder
from interank.types import Document, Query

# Beside the numbers: the lead, the gap, and how an order may be tokenized otherwise than another.
_ANSWER_ROOM = 16


class ListEncoder(WindowEncoder[ListPromptSettings]):
    """Prompts that ask for an order of the window, and the answers to them."""

    least_reasoning = 8

    def asked(self, query: str, documents: Sequence[str], instruction: str = "") -> list[dict[str, str]]:
        """See `WindowEncoder`."""
        return ordering.render(query, documents, self.settings.form, instruction)

    def shown(self, document: Document) -> str:
        """See `WindowEncoder`."""
        return ordering.as_shown(document.full_text, self.settings.form)

    def messages(self, query: Query, documents: Sequence[Document], *, reasoning_tokens: int) -> list[dict[str, str]]:
        """As `prompt`, for servers that take messages; what is cut is cut by this encoder's tokens."""
        cuts = self.prompt(query, documents, reasoning_tokens=reasoning_tokens).cuts
        texts = []
        for document, cut in zip(documents, cuts, strict=True):
            shown = self.shown(document)
            texts.append(self.encoder.text(self.encoder.plain(shown)[:-cut]) if cut else shown)
        asked = self.encoder.plain(query.text)
        instruction = self.settings.instruction_of(query)
        room = self.query_room(instruction)
        text = query.text if len(asked) <= room else self.encoder.text(asked[:room])
        return self.asked(text, texts, instruction)

    def answer(self, positions: Sequence[int], reasoning: str, *, reasoning_tokens: int) -> tuple[int, ...]:
        """The answer's ids with its end-of-turn; the reasoning is cut at `reasoning_tokens`, the ranking never."""
        kept = self.encoder.plain(reasoning)[:reasoning_tokens]
        ranking = self.encoder.plain(ordering.answer(positions, form=self.settings.form))
        return (*kept, *(self.encoder.gap if kept else ()), *ranking, self.end)

    def answer_tokens(self, size: int, reasoning_tokens: int) -> int:
        """The room that an answer about `size` documents takes with its reasoning."""
        ranking = self.encoder.plain(ordering.answer(range(size), form=self.settings.form))
        thought = 0 if self.settings.form == "direct" else reasoning_tokens
        return len(ranking) + thought + _ANSWER_ROOM
