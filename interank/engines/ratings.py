"""Released rerankers that reason, then write a number from 0 to 10: how they read a pair, and what the score is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from interank import plain_data
from interank.engines.plain_text import PlainText, framed
from interank.engines.prompts import Prompt, parts_around, rendered
from interank.engines.protocol import Completion, Engine, Sampling
from interank.engines.released_forms import USUAL_TASK, ReleasedForm
from interank.engines.soundness import require_completions
from interank.errors import InputError, ModelError, PromptError
from interank.types import Document, Query

# The most tokens of reasoning and answer, as in its own code; those of an answer alone, and of its forced beginning.
LIMIT = 4096
_ANSWER_TOKENS = 16
# Instruction and query get at most one in so many of the prompt's tokens.
_QUERY_PART = 4
_LEAST = 64
_SLOT = "SLOT1PAIR1SLOT"
_GAP = "\n\n"
_AFTER = (
    "After thinking, directly choose a relevance score from [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].\n"
    "- 0 represents completely not related\n"
    "- 10 means perfectly related.\n\n"
    "Desired output format:\n"
    "<think>put your thinking here</think><answer>Only allows an integer here</answer>\n\n"
    "Your output:"
)
_OPENED, _CLOSED, _BEGUN = "<think>", "</think>", "<answer>"
_ANSWER = re.compile(r"<answer>\s*(10|[0-9])\s*</answer>")


class Rating(NamedTuple):
    """A model's rating of a pair."""

    reasoning: str
    number: int
    probability: float
    """The product of the probabilities of the number's tokens."""

    @property
    def score(self) -> float:
        """The number times its probability, as in the paper."""
        return self.number * self.probability


class RatingEncoder:
    """Encodes pairs as ERank's own code does, in the model's chat template, and parses its answers."""

    def __init__(self, tokenizer: Any, form: ReleasedForm, positions: int) -> None:
        """Take a tokenizer, and the length of the model's context in tokens (`positions`).

        Raises:
            ModelError: The context is too short, or the model's chat template drops the message's text.
        """
        self.form = form
        self.end = int(tokenizer.eos_token_id)
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        messages = [{"role": "user", "content": _SLOT + _AFTER}]
        before, after = parts_around(rendered(tokenizer, messages, add_generation_prompt=True), _SLOT)
        self._head, self._tail = framed(tokenizer, before), framed(tokenizer, after)
        # Some templates open the model's reasoning.
        self._opened = after.rstrip().endswith(_OPENED)
        self._room = positions - LIMIT - 2 * _ANSWER_TOKENS - len(self._head) - len(self._tail)
        if self._room < _LEAST * _QUERY_PART:
            raise ModelError(
                f"this model reads {positions} tokens, of which {form.name}'s reasoning may take {LIMIT}; give the "
                "original model"
            )

    def prompt(self, query: Query, document: Document) -> Prompt:
        """The prompt for a pair; texts are encoded with the lines around them, as a token may span a line's end.

        Raises:
            InputError: The query's instruction leaves no room for it.
        """
        prefix = self._head + self._plain(self._before(query))
        text, gap = self._plain(document.full_text + _GAP), self._plain(_GAP)
        room = max(self._room + len(self._head) - len(prefix), len(gap))
        if len(text) <= room:
            return Prompt(prefix, text, self._tail)
        whole = self._plain(document.full_text)
        kept = whole[: room - len(gap)]
        return Prompt(prefix, kept + gap, self._tail, len(whole) - len(kept))

    def query_cut(self, query: Query) -> int:
        """How many tokens at the query's end there is no room for."""
        return max(0, len(self._plain(query.text)) - self._query_room(_task(query)))

    def ratings(self, engine: Engine, prompts: Sequence[Prompt]) -> list[Rating]:
        """The model's reasoning about each pair, decoded greedily, and the number that follows.

        If the limit cuts the reasoning off, the beginning of the answer is forced, like the position of the grade in a
        judge that reasons first.

        Raises:
            PromptError: An answer is no number from 0 to 10, or log-probabilities are not finite.
        """
        completions = engine.generate(prompts, Sampling(LIMIT), end=self.end)
        cut = [place for place, item in enumerate(completions) if not item.finished and self.rating(item) is None]
        begun = {place: self._begun(completions[place].ids) for place in cut}
        forced = [prompts[place].then(begun[place]) for place in cut]
        answers = engine.generate(forced, Sampling(_ANSWER_TOKENS), end=self.end) if forced else []
        for place, item in zip(cut, answers, strict=True):
            # Forced tokens have no probability, and only the number's counts.
            logprobs = (0.0,) * len(begun[place]) + item.logprobs
            completions[place] = Completion(begun[place] + item.ids, logprobs, item.finished)
        require_completions(completions)
        ratings = []
        for place, item in enumerate(completions):
            rating = self.rating(item)
            if rating is None:
                raise PromptError(
                    place,
                    f"its answer is {plain_data.shown(self._text(item.ids))}, where {self.form.name} writes <answer>, "
                    "a whole number from 0 to 10 and </answer>; leave the document out, or give the run that its own "
                    "code made (runs=FILE)",
                )
            ratings.append(rating)
        return ratings

    def rating(self, completion: Completion) -> Rating | None:
        """The rating after the reasoning; None unless it is one number from 0 to 10 in its tags.

        Qwen's tokenizer writes a 10 as two tokens: its probability is that of 1 times that of 0 after it.
        """
        text = (_OPENED if self._opened else "") + self._text(completion.ids)
        reasoning, _, rest = text.rpartition(_CLOSED)
        answers = list(_ANSWER.finditer(rest))
        if _OPENED in rest or len(answers) != 1:
            return None
        ids, behind = completion.ids, len(text) - len(rest) - (len(_OPENED) if self._opened else 0)
        begin, end = (behind + place for place in answers[0].span(1))
        first, last = self._tokens(ids, begin + 1) - 1, self._tokens(ids, end)
        probability = math.exp(sum(completion.logprobs[first:last]))
        return Rating(reasoning.replace(_OPENED, "").strip(), int(answers[0][1]), probability)

    def _before(self, query: Query) -> str:
        task = _task(query)
        ids, room = self._plain(query.text), self._query_room(task)
        text = query.text if len(ids) <= room else self._text(ids[:room])
        return (
            "Given a query and a document, please give a relevance score of 0~10.\n"
            f"The goal or relevance definition is: {task}\n\nHere is the query:\n{text}\n\nHere is the document:\n"
        )

    def _query_room(self, task: str) -> int:
        used, room = len(self._plain(task)), self._room // _QUERY_PART
        if 2 * used > room:
            raise InputError(
                f"the instruction {plain_data.shown(task)} takes {used} tokens; it and the query have {room}, of "
                f"which it may have {room // 2}; shorten it"
            )
        return room - used

    def _begun(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The reasoning, closed if it is not, and the beginning of an answer."""
        text = self._text(ids)
        reasoning, closed, _ = text.rpartition(_CLOSED)
        if closed:
            return ids[: self._tokens(ids, len(reasoning) + len(closed))] + framed(self._tokenizer, _GAP + _BEGUN)
        return ids + framed(self._tokenizer, f"\n{_CLOSED}{_GAP}{_BEGUN}")

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _tokens(self, ids: Sequence[int], characters: int) -> int:
        """The fewest tokens, from the first, that decode to at least `characters` characters."""
        least, most = 0, len(ids)
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if len(self._text(ids[:middle])) >= characters else (middle + 1, most)
        return least


def _task(query: Query) -> str:
    return (query.instruction or "").strip() or USUAL_TASK
