"""Listwise prompts and answers as token ids, the same for training and use: a query and a window of its documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interank.engines.prompts import Prompt, PromptEncoder, check_instruction
from interank.errors import InputError
from interank.settings import ListPromptSettings
from interank.tasks.order import ordering
from interank.types import Document, Query
from interank.wording import counted

_QUERY_SLOT = "SLOT1QUERY1SLOT"
_INSTRUCTION_SLOT = "SLOT4INSTRUCTION4SLOT"
# Fewer tokens of a document are not worth ranking.
_LEAST_SHARE = 8
# Beside the numbers: the lead, the gap, and how an order may be tokenized otherwise than another.
_ANSWER_ROOM = 16


@dataclass(frozen=True, slots=True)
class WindowPrompt:
    """The prompt for a window; and for each document the tokens at its end that there was no room for."""

    prompt: Prompt
    cuts: tuple[int, ...]


class ListEncoder:
    """Turns a query and a window of documents into token ids for one tokenizer and one recipe's settings."""

    def __init__(self, encoder: PromptEncoder, settings: ListPromptSettings) -> None:
        self.encoder = encoder
        self.settings = settings
        self._frames: dict[int, tuple[list[tuple[int, ...]], list[bool]]] = {}

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.encoder.end

    def prompt(self, query: Query, documents: Sequence[Document], *, reasoning_tokens: int) -> WindowPrompt:
        """The prompt that asks for an order of the documents, cut evenly so that all of them and the answer fit.

        Raises:
            InputError: So many documents do not fit, however short they are made, or the instruction is too long.
        """
        frame, apart = self._frame(len(documents))
        instruction = self.settings.instruction_of(query)
        led = self._led(instruction, len(documents))
        asked = self._query(query, self.query_room(instruction))
        asides = [asked[space] for space in (apart[0], apart[-1])]
        texts = [
            self.encoder.plain(" " * space + ordering.as_shown(document.full_text, self.settings.form))
            for document, space in zip(documents, apart[1:-1], strict=True)
        ]
        taken = sum(map(len, (led, *frame[1:], *asides))) + self.answer_tokens(len(documents), reasoning_tokens)
        shares = self._shares([len(text) for text in texts], self.settings.max_length - taken)
        kept = [text[:share] for text, share in zip(texts, shares, strict=True)]
        listed = [part for text, after in zip(kept[:-1], frame[2:-2], strict=True) for part in (text, after)]
        middle = tuple(index for part in (*listed, kept[-1]) for index in part)
        cuts = tuple(len(text) - share for text, share in zip(texts, shares, strict=True))
        prompt = Prompt(led + asides[0] + frame[1], middle, frame[-2] + asides[1] + frame[-1], sum(cuts))
        return WindowPrompt(prompt, cuts)

    def messages(self, query: Query, documents: Sequence[Document], *, reasoning_tokens: int) -> list[dict[str, str]]:
        """As `prompt`, for servers that take messages; what is cut is cut by this encoder's tokens."""
        cuts = self.prompt(query, documents, reasoning_tokens=reasoning_tokens).cuts
        texts = []
        for document, cut in zip(documents, cuts, strict=True):
            shown = ordering.as_shown(document.full_text, self.settings.form)
            texts.append(self.encoder.text(self.encoder.plain(shown)[:-cut]) if cut else shown)
        asked = self.encoder.plain(query.text)
        instruction = self.settings.instruction_of(query)
        room = self.query_room(instruction)
        text = query.text if len(asked) <= room else self.encoder.text(asked[:room])
        return ordering.render(text, texts, self.settings.form, instruction)

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

    def query_cut(self, query: Query) -> int:
        """How many tokens at the query's end there is no room for."""
        return max(0, len(self.encoder.plain(query.text)) - self.query_room(self.settings.instruction_of(query)))

    def query_room(self, instruction: str) -> int:
        """How many tokens of a query are read with an instruction."""
        return self.settings.max_query_tokens - len(self._led(instruction, 2)) + len(self._led("", 2))

    def _led(self, instruction: str, size: int) -> tuple[int, ...]:
        """The ids before a query: those of the frame, with the instruction if there is one.

        Raises:
            InputError: It leaves the query less than half of its tokens.
        """
        frame, apart = self._frame(size)
        if not instruction:
            return frame[0]
        messages = ordering.render(_QUERY_SLOT, [""] * size, self.settings.form, _INSTRUCTION_SLOT)
        before, after, *_ = self.encoder.around(messages, [_INSTRUCTION_SLOT, _QUERY_SLOT])
        first, second = self.encoder.frame([before, after[:-1] if apart[0] else after])
        led = first + self.encoder.plain(instruction) + second
        check_instruction(instruction, len(led) - len(frame[0]), self.settings.max_query_tokens)
        return led

    def _query(self, query: Query, limit: int) -> dict[bool, tuple[int, ...]]:
        """The query's ids, with a blank before it and without."""
        return {space: self.encoder.plain(" " * space + query.text)[:limit] for space in (False, True)}

    def _frame(self, size: int) -> tuple[list[tuple[int, ...]], list[bool]]:
        """The ids around query, documents and query again; and before which of them a blank goes to the text.

        A word and the blank before it are one token, as a model that read whole prompts knows them.
        """
        if size not in self._frames:
            documents = [f"SLOT2DOCUMENT{number}SLOT" for number in range(size)]
            messages = ordering.render(_QUERY_SLOT, documents, self.settings.form)
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
    """How much of each text fits when all are cut at one length, so that together they fill the room at most.

    What short texts leave goes to the long ones; those that are cut differ by a token at most.
    """
    shares = [0] * len(lengths)
    waiting = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for number, place in enumerate(waiting):
        shares[place] = min(lengths[place], room // (len(waiting) - number))
        room -= shares[place]
    return shares
