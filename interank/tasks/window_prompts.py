"""Prompts about a window of documents as token ids, the same in training and ranking, for any task on windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from interank.engines.prompts import Prompt, PromptEncoder, check_instruction
from interank.errors import InputError
from interank.settings import PromptSettings, WindowPromptSettings
from interank.types import Document, Query
from interank.wording import counted

_QUERY_SLOT = "SLOT1QUERY1SLOT"
_INSTRUCTION_SLOT = "SLOT4INSTRUCTION4SLOT"
# A document that is cut to fewer tokens is not worth ranking.
_LEAST_SHARE = 8


_Settings = TypeVar("_Settings", bound=WindowPromptSettings)


@dataclass(frozen=True, slots=True)
class WindowPrompt:
    """The prompt for a window, and the number of tokens that were cut off the end of each document."""

    prompt: Prompt
    cuts: tuple[int, ...]


class WindowEncoder(Protocol[_Settings]):
    """Turns a query and a window of documents into token ids for one tokenizer and one recipe's settings.

    The task defines the question about the window, and the room that an answer takes.
    """

    encoder: PromptEncoder
    settings: _Settings
    _frames: dict[int, tuple[list[tuple[int, ...]], list[bool]]]
    least_reasoning: int = 0
    """The fewest tokens that are of use for reasoning; 0 where no reasoning is asked for."""

    def __init__(self, encoder: PromptEncoder, settings: _Settings) -> None:
        self.encoder = encoder
        self.settings = settings
        self._frames = {}

    @classmethod
    def of(cls, tokenizer: Any, settings: _Settings) -> Self:
        """An encoder whose prompts are limited by its own settings alone."""
        return cls(PromptEncoder(tokenizer, PromptSettings()), settings)

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.encoder.end

    def prompt(self, query: Query, documents: Sequence[Document], *, reasoning_tokens: int) -> WindowPrompt:
        """The prompt about the documents, cut evenly so that all of them and the answer fit.

        Raises:
            InputError: The documents do not fit, however short they are cut, or the instruction is too long.
        """
        frame, apart = self._frame(len(documents))
        instruction = self.settings.instruction_of(query)
        led = self._led(instruction, len(documents))
        queries = self._query(query, self.query_room(instruction))
        asides = [queries[space] for space in (apart[0], apart[-1])]
        texts = [
            self.encoder.plain(" " * space + self.shown(document))
            for document, space in zip(documents, apart[1:-1], strict=True)
        ]
        fixed = sum(map(len, (led, *frame[1:], *asides))) + self.answer_tokens(len(documents), reasoning_tokens)
        shares = self._shares([len(text) for text in texts], self.settings.max_length - fixed)
        kept = [text[:share] for text, share in zip(texts, shares, strict=True)]
        listed = [part for text, after in zip(kept[:-1], frame[2:-2], strict=True) for part in (text, after)]
        middle = tuple(index for part in (*listed, kept[-1]) for index in part)
        cuts = tuple(len(text) - share for text, share in zip(texts, shares, strict=True))
        prompt = Prompt(led + asides[0] + frame[1], middle, frame[-2] + asides[1] + frame[-1], sum(cuts))
        return WindowPrompt(prompt, cuts)

    def chat(self, query: str, documents: Sequence[str], instruction: str = "") -> list[dict[str, str]]:
        """The chat messages that ask about the documents: the query before them, and perhaps behind them again."""
        ...

    def answer_tokens(self, size: int, reasoning_tokens: int) -> int:
        """The tokens of an answer about `size` documents, with its reasoning."""
        ...

    def shown(self, document: Document) -> str:
        """A document's text as it stands in the prompt."""
        return document.full_text

    def query_cut(self, query: Query) -> int:
        """The number of tokens that are cut off the query's end."""
        return max(0, len(self.encoder.plain(query.text)) - self.query_room(self.settings.instruction_of(query)))

    def query_room(self, instruction: str) -> int:
        """The number of a query's tokens that are read beside an instruction."""
        return self.settings.max_query_tokens - len(self._led(instruction, 2)) + len(self._led("", 2))

    def _led(self, instruction: str, size: int) -> tuple[int, ...]:
        """The ids before a query: those of the frame, with the instruction if there is one.

        Raises:
            InputError: The instruction leaves the query less than half of its tokens.
        """
        frame, apart = self._frame(size)
        if not instruction:
            return frame[0]
        messages = self.chat(_QUERY_SLOT, [""] * size, _INSTRUCTION_SLOT)
        before, after, *_ = self.encoder.around(messages, [_INSTRUCTION_SLOT, _QUERY_SLOT])
        first, second = self.encoder.frame([before, after[:-1] if apart[0] else after])
        led = first + self.encoder.plain(instruction) + second
        check_instruction(instruction, len(led) - len(frame[0]), self.settings.max_query_tokens)
        return led

    def _query(self, query: Query, limit: int) -> dict[bool, tuple[int, ...]]:
        """The query's ids, with a blank before it and without."""
        return {space: self.encoder.plain(" " * space + query.text)[:limit] for space in (False, True)}

    def _frame(self, size: int) -> tuple[list[tuple[int, ...]], list[bool]]:
        """The ids around query, documents and repeated query; and which of these texts take the blank before them.

        A word and the blank before it are one token in a whole prompt, so that the blank is encoded with the text.
        """
        if size not in self._frames:
            documents = [f"SLOT2DOCUMENT{number}SLOT" for number in range(size)]
            messages = self.chat(_QUERY_SLOT, documents)
            texts = self.encoder.around(messages, [_QUERY_SLOT, *documents, _QUERY_SLOT])
            apart = [text.endswith(" ") for text in texts[:-1]]
            cut = [text[:-1] if space else text for text, space in zip(texts, [*apart, False], strict=True)]
            self._frames[size] = self.encoder.frame(cut), apart
        return self._frames[size]

    def _shares(self, lengths: Sequence[int], room: int) -> list[int]:
        if room < sum(min(length, _LEAST_SHARE) for length in lengths):
            raise InputError(
                f"a prompt of {self.settings.max_length} tokens has no room for "
                f"{counted(len(lengths), 'document')}: {counted(max(0, room), 'token')} would be left for "
                "them; take a smaller window, fewer reasoning tokens, or raise max_length"
            )
        limit = self.settings.max_document_tokens
        return even_shares([min(length, limit) for length in lengths], room)


def even_shares(lengths: Sequence[int], room: int) -> list[int]:
    """The tokens of each text to keep, where all texts are cut at one length to fit `room` together.

    Room that short texts leave goes to long ones; the lengths of cut texts differ by a token at most.
    """
    shares = [0] * len(lengths)
    by_length = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for number, place in enumerate(by_length):
        shares[place] = min(lengths[place], room // (len(by_length) - number))
        room -= shares[place]
    return shares
