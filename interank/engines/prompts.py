"""Prompts and answers as token ids, made in parts and the same for training and use; untrusted text stays text."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from interank import judging, plain_data
from interank.engines.pairs import Frame
from interank.engines.plain_text import PlainText, beginning, framed
from interank.errors import InputError, ModelError
from interank.judging import Order
from interank.settings import PromptSettings
from interank.types import GRADES, Document, Judgment, Query

# Llama 3's and SmolLM3's templates write today's date into the prompt, so that a model would read something else
# tomorrow; Qwen 3's opens a thinking part unless told not to. Templates ignore what they don't know.
_DAY = datetime.datetime(2024, 7, 26)  # a day, the same everywhere
_TEMPLATE_ARGUMENTS = {"date_string": "26 Jul 2024", "strftime_now": _DAY.strftime, "enable_thinking": False}
# The tokens of a label, of its end and one of the document.
_LEAST = 3
_QUERY_SLOT, _DOCUMENT_SLOT, _ANSWER_SLOT = "SLOT1QUERY1SLOT", "SLOT2DOCUMENT2SLOT", "SLOT3ANSWER3SLOT"
_INSTRUCTION_SLOT = "SLOT4INSTRUCTION4SLOT"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in three parts of token ids; all documents of a query share the prefix."""

    prefix: tuple[int, ...]
    document: tuple[int, ...]
    suffix: tuple[int, ...]
    cut: int = 0
    """Tokens at the document's end that there was no room for."""

    @property
    def ids(self) -> tuple[int, ...]:
        """The whole prompt."""
        return self.prefix + self.document + self.suffix

    def then(self, ids: Sequence[int]) -> Prompt:
        """The prompt with the beginning of its answer given."""
        return replace(self, suffix=self.suffix + tuple(ids))


class PromptEncoder:
    """Turns queries, documents and judgments into token ids for one tokenizer and one recipe's settings."""

    def __init__(self, tokenizer: Any, settings: PromptSettings) -> None:
        """Read the frame off the tokenizer's chat template; without one, a plain frame is used.

        Raises:
            ModelError: The tokenizer cannot write the three grades as one token each.
            InputError: The settings leave no room for a document, or the instruction none for a query.
        """
        self.tokenizer = tokenizer
        self.settings = settings
        self._plain = PlainText(tokenizer)
        head, between, self._tails, self._end = self._frame()
        self._head, self._between = head, between
        self._instructed: tuple[str, tuple[int, ...]] = ("", head)
        self._last: tuple[tuple[str, str], tuple[int, ...]] | None = None
        self.label_lead, self.label_ids = self._labels()
        room = settings.max_length - settings.max_query_tokens - len(head) - len(between) - self._longest_tail()
        if room < len(self.label_lead) + _LEAST:
            raise InputError(
                f"prompt: max_length {settings.max_length} less max_query_tokens {settings.max_query_tokens} leaves "
                f"{room} tokens for document and answer after the instruction; raise the one or lower the other"
            )
        self._led(settings.instruction)

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self._end

    @property
    def beginning(self) -> tuple[int, ...]:
        """The ids with which the prompts of all queries begin that have no instruction of their own."""
        return self._led(self.settings.instruction)

    @property
    def longest_query(self) -> int:
        """Tokens of the longest query that leaves room for a document, whatever `max_query_tokens` says."""
        around = len(self._head) + len(self._between) + self._longest_tail()
        return self.settings.max_length - around - len(self.label_lead) - _LEAST

    @property
    def vocabulary(self) -> int:
        """How many token ids there are; a model's head may have more rows, which are no tokens."""
        return 1 + int(max(self.tokenizer.get_vocab().values()))

    def prompt(self, query: Query, document: Document, *, answer_tokens: int, order: Order | None = None) -> Prompt:
        """The prompt for a pair, its document cut so that `answer_tokens` more fit in `max_length`.

        Neither the instruction nor the answer's room is ever cut.

        Raises:
            InputError: The query's instruction leaves no room for it.
        """
        settings = self.settings
        prefix = self._prefix(query)
        suffix = self._tails[order or settings.order]
        room = max(0, settings.max_length - len(prefix) - len(suffix) - answer_tokens)
        text = self.plain(judging.unfenced(document.full_text) if settings.fence else document.full_text)
        kept = text[: min(settings.max_document_tokens, room)]
        return Prompt(prefix, kept, suffix, len(text) - len(kept))

    def fenced(self) -> PromptEncoder:
        """This encoder with the documents fenced, whatever its settings say.

        Raises:
            InputError: There is no room for the fence.
        """
        return PromptEncoder(self.tokenizer, self.settings.model_copy(update={"fence": True}))

    def query_cut(self, query: Query) -> int:
        """How many tokens at the query's end there is no room for."""
        return max(0, len(self.plain(query.text)) - self.query_room(self.settings.instruction_of(query)))

    def query_room(self, instruction: str) -> int:
        """How many tokens of a query are read beside an instruction."""
        return self.settings.max_query_tokens - len(self._led(instruction)) + len(self._head)

    def queries_prompt(self, query: Query, limit: int) -> Prompt:
        """The prompt that asks for search queries; the question is cut as in a judgment's prompt."""
        head, tail = self.frame(self.around(judging.render_queries(_QUERY_SLOT, limit), [_QUERY_SLOT]))
        text = self.plain(query.text)[: self.settings.max_query_tokens]
        return Prompt(head, text, tail)

    def around(self, messages: list[dict[str, str]], slots: Sequence[str]) -> list[str]:
        """The texts around the slots in messages, which the chat template renders up to the answer.

        Raises:
            ModelError: The model's chat template drops or changes a slot's text.
        """
        return parts_around(self._rendered(messages, answered=False), *slots)

    def frame(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of a prompt's own texts, in which special tokens are meant; the first begins the sequence."""
        return [self._begun(self._framed(texts[0])), *map(self._framed, texts[1:])]

    def question_prompt(self, text: str) -> Prompt:
        """The prompt of any other question, in one user turn, all of it untrusted text."""
        head, tail = self.around([{"role": "user", "content": _QUERY_SLOT}], [_QUERY_SLOT])
        return Prompt(self._begun(self._framed(head)), self.plain(text), self._framed(tail))

    def answer(self, judgment: Judgment, *, reasoning_tokens: int, order: Order | None = None) -> tuple[int, ...]:
        """The answer's ids with its end-of-turn; the explanation is cut at `reasoning_tokens`, the label never."""
        label = (*self.label_lead, self.label_ids[judgment.relevance])
        reasoning = self.plain(judgment.reasoning)[:reasoning_tokens]
        gap = self.gap if reasoning else ()
        first = (order or self.settings.order) == "grade_first"
        parts = label + gap + reasoning if first else reasoning + gap + label
        return (*parts, self._end)

    @property
    def graded(self) -> Frame:
        """The ids around a query and a document up to the position of the grade, in grade-first prompts."""
        return Frame(self.beginning, self._between, self._tails["grade_first"] + self.label_lead)

    @property
    def gap(self) -> tuple[int, ...]:
        """The ids between label and explanation."""
        return self.plain("\n\n")

    def plain(self, text: str) -> tuple[int, ...]:
        """The ids of untrusted text: what looks like a special token in it is encoded as the characters it is made of.

        Lone surrogates, which have no UTF-8 form, become question marks.
        """
        return self._plain(text)

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _prefix(self, query: Query) -> tuple[int, ...]:
        """The prefix of all documents of a query; the last one is cached, as a query's documents come in a row."""
        instruction = self.settings.instruction_of(query)
        if self._last is None or self._last[0] != (instruction, query.text):
            text = self.plain(query.text)[: self.query_room(instruction)]
            self._last = (instruction, query.text), self._led(instruction) + text + self._between
        return self._last[1]

    def _led(self, instruction: str) -> tuple[int, ...]:
        """The ids before a query; those with the last instruction are cached.

        Raises:
            InputError: The instruction leaves the query less than half of its tokens.
        """
        kept, led = self._instructed
        if not instruction or kept == instruction:
            return led if instruction else self._head
        messages = judging.render(_QUERY_SLOT, _DOCUMENT_SLOT, self.settings.order, instruction=_INSTRUCTION_SLOT)
        before, after, *_ = self.frame(self.around(messages, [_INSTRUCTION_SLOT, _QUERY_SLOT]))
        led = before + self.plain(instruction) + after
        check_instruction(instruction, len(led) - len(self._head), self.settings.max_query_tokens)
        self._instructed = (instruction, led)
        return led

    def _framed(self, text: str) -> tuple[int, ...]:
        return framed(self.tokenizer, text)

    def _frame(self) -> tuple[tuple[int, ...], tuple[int, ...], dict[Order, tuple[int, ...]], int]:
        tails: dict[Order, tuple[int, ...]] = {}
        orders: tuple[Order, ...] = ("grade_first", "reason_first")
        head_text = between_text = ""
        for order in orders:
            whole = self._rendered(self._messages(order), answered=False)
            head_text, between_text, tail_text = parts_around(whole, _QUERY_SLOT, _DOCUMENT_SLOT)
            tails[order] = self._framed(tail_text)
        head = self._begun(self._framed(head_text))
        answered = self._rendered(
            [*judging.render("q", "d", "grade_first"), {"role": "assistant", "content": _ANSWER_SLOT}],
            answered=True,
        )
        after = self._framed(parts_around(answered, _ANSWER_SLOT)[1])
        end = next((index for index in after if index in self._plain.forbidden), self.tokenizer.eos_token_id)
        return head, self._framed(between_text), tails, end

    def _messages(self, order: Order) -> list[dict[str, str]]:
        return judging.render(_QUERY_SLOT, _DOCUMENT_SLOT, order, fence=self.settings.fence)

    def _begun(self, head: tuple[int, ...]) -> tuple[int, ...]:
        """The head with exactly one beginning-of-sequence token, if the model has one.

        Some templates write it, some leave it to the tokenizer.
        """
        bos = beginning(self.tokenizer)
        return head if head[: len(bos)] == bos else bos + head

    def _rendered(self, messages: list[dict[str, str]], *, answered: bool) -> str:
        if self.tokenizer.chat_template is None:
            return "\n\n".join(message["content"] for message in messages) + ("" if answered else "\n\nAnswer:\n")
        return rendered(self.tokenizer, messages, add_generation_prompt=not answered, **_TEMPLATE_ARGUMENTS)

    def _labels(self) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """The ids before the grade, and the one token of each grade."""
        written = [self.plain(f"{judging.LABEL_LEAD}{int(grade)}") for grade in GRADES]
        lead = written[0][:-1]
        labels = tuple(ids[-1] for ids in written)
        if any(ids[:-1] != lead for ids in written) or len(set(labels)) != len(GRADES):
            raise ModelError("this tokenizer does not write the labels 0, 1 and 2 as one token each; use another model")
        return lead, (labels[0], labels[1], labels[2])

    def _longest_tail(self) -> int:
        return max(len(tail) for tail in self._tails.values())


def check_instruction(instruction: str, tokens: int, query_tokens: int) -> None:
    """Refuse an instruction that takes more than half of a query's tokens, since instructions are never cut.

    Raises:
        InputError: It is too long; the message says how long it may be.
    """
    if 2 * tokens > query_tokens:
        raise InputError(
            f"the instruction {plain_data.shown(instruction)} takes {tokens} tokens with its frame; "
            f"prompt.max_query_tokens gives it and the query {query_tokens}, of which it may have {query_tokens // 2}; "
            "shorten it"
        )


def rendered(tokenizer: Any, messages: list[dict[str, str]], **arguments: Any) -> str:
    """The messages as the tokenizer's chat template writes them.

    Raises:
        ModelError: The template cannot be read, refuses the messages, or takes them in another form than text.
    """
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **arguments))
    except (TemplateError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path} cannot render a prompt: "
            f"{' '.join(str(error).split())[:200] or type(error).__name__}; correct chat_template in that folder (in "
            "chat_template.jinja, or tokenizer_config.json), or use another model"
        ) from None


def parts_around(text: str, *slots: str) -> list[str]:
    """The texts before, between and after the slots.

    Raises:
        ModelError: A slot is missing or out of order.
    """
    parts = []
    for slot in slots:
        before, slot_text, text = text.partition(slot)
        if not slot_text:
            raise ModelError("this model's chat template drops or changes the user's text; use another model")
        parts.append(before)
    return [*parts, text]
