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

# Tokens of reasoning and answer that its own code allows, and those of an answer alone, which is begun with as many.
LIMIT = 4096
_ANSWER_TOKENS = 16
# Of the prompt's tokens, instruction and query take this part at the most.
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
    """What a model wrote of a pair."""

    reasoning: str
    number: int
    probability: float
    """Of the number's tokens, each after those before it."""

    @property
    def score(self) -> float:
        """The number times its probability, as the paper has it."""
        return self.number * self.probability


class RatingEncoder:
    """Writes pairs as ERank's own code does, in the model's chat template, and reads its answers."""

    def __init__(self, tokenizer: Any, form: ReleasedForm, positions: int) -> None:
        """Take a tokenizer and so many tokens of prompt and answer as the model reads.

        Raises:
            ModelError: The model reads too few, or its chat template drops what it is given.
        """
        self.form = form
        self.end = int(tokenizer.eos_token_id)
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        asked = [{"role": "user", "content": _SLOT + _AFTER}]
        before, after = parts_around(rendered(tokenizer, asked, add_generation_prompt=True), _SLOT)
        self._head, self._tail = framed(tokenizer, before), framed(tokenizer, after)
        # Some templates begin to think in the model's place.
        self._opened = after.rstrip().endswith(_OPENED)
        self._room = positions - LIMIT - 2 * _ANSWER_TOKENS - len(self._head) - len(self._tail)
        if self._room < _LEAST * _QUERY_PART:
            raise ModelError(
                f"this model reads {positions} tokens, of which {form.name}'s reasoning may take {LIMIT}; give that "
                "model whole"
            )

    def prompt(self, query: Query, document: Document) -> Prompt:
        """The prompt for a pair; texts are encoded with the lines around them, as a line's end may be in a token.

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
        """What the model thinks of each pair, greedily, and the number that it then writes.

        Where the limit ends the reasoning, the answer is begun in the model's place, as a judge that reasons has its
        grade read at a forced position.

        Raises:
            PromptError: An answer is no number from 0 to 10, or the model computes no numbers.
        """
        found = engine.generate(prompts, Sampling(LIMIT), end=self.end)
        cut = [place for place, item in enumerate(found) if not item.finished and self.rating(item) is None]
        begun = {place: self._begun(found[place].ids) for place in cut}
        forced = [prompts[place].then(begun[place]) for place in cut]
        answers = engine.generate(forced, Sampling(_ANSWER_TOKENS), end=self.end) if forced else []
        for place, item in zip(cut, answers, strict=True):
            # What was put into its mouth has no probability of its own, and the number's alone counts.
            logprobs = (0.0,) * len(begun[place]) + item.logprobs
            found[place] = Completion(begun[place] + item.ids, logprobs, item.finished)
        require_completions(found)
        ratings = []
        for place, item in enumerate(found):
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
        """What was written behind the reasoning, if it is one number from 0 to 10 in its place.

        Qwen's tokenizer writes a 10 as two tokens: its probability is that of 1 times that of 0 behind it, as any
        text's is the product of its tokens'.
        """
        text = (_OPENED if self._opened else "") + self._text(completion.ids)
        thought, _, said = text.rpartition(_CLOSED)
        answers = list(_ANSWER.finditer(said))
        if _OPENED in said or len(answers) != 1:
            return None
        ids, behind = completion.ids, len(text) - len(said) - (len(_OPENED) if self._opened else 0)
        begin, end = (behind + place for place in answers[0].span(1))
        first, last = self._tokens(ids, begin + 1) - 1, self._tokens(ids, end)
        probability = math.exp(sum(completion.logprobs[first:last]))
        return Rating(thought.replace(_OPENED, "").strip(), int(answers[0][1]), probability)

    def _before(self, query: Query) -> str:
        task = _task(query)
        asked, room = self._plain(query.text), self._query_room(task)
        text = query.text if len(asked) <= room else self._text(asked[:room])
        return (
            "Given a query and a document, please give a relevance score of 0~10.\n"
            f"The goal or relevance definition is: {task}\n\nHere is the query:\n{text}\n\nHere is the document:\n"
        )

    def _query_room(self, task: str) -> int:
        taken, room = len(self._plain(task)), self._room // _QUERY_PART
        if 2 * taken > room:
            raise InputError(
                f"the instruction {plain_data.shown(task)} takes {taken} tokens; it and the query have {room}, of "
                f"which it may have {room // 2}; shorten it"
            )
        return room - taken

    def _begun(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """What was thought, ended where it is not, and the beginning of an answer."""
        text = self._text(ids)
        thought, closed, _ = text.rpartition(_CLOSED)
        if closed:
            return ids[: self._tokens(ids, len(thought) + len(closed))] + framed(self._tokenizer, _GAP + _BEGUN)
        return ids + framed(self._tokenizer, f"\n{_CLOSED}{_GAP}{_BEGUN}")

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _tokens(self, ids: Sequence[int], characters: int) -> int:
        """The fewest tokens, from the first, that write so many characters."""
        least, most = 0, len(ids)
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if len(self._text(ids[:middle])) >= characters else (middle + 1, most)
        return least


def _task(query: Query) -> str:
    return (query.instruction or "").strip() or USUAL_TASK
