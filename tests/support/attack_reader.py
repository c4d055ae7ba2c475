"""A tiny policy that has learned to read the texts of `attack_world`, to be the frozen reader of rewards.

It is trained whole, on the CPU, on what `ExactReader` knows: grades of documents, claims of explanations, and which
words a text gives away. Right after a plant or a trouble the training asks whether the question has it, so that names
are compared early; when it reads, nothing is asked there. It is taught honest explanations, of the question and of
others, and explanations in their words that claim any grade with any content. It is shown no other kind of attack.

Its chat template leaves out the instruction and most of the answer's order: a prompt has 51 tokens instead of 247.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.judging import Order
from interank.settings import PromptSettings
from interank.tasks.judge.quotes import without_quoted
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.reading import HIDDEN, masked
from interank.types import Document, Query
from tests.support import tiny
from tests.support.attack_world import (
    CAUSES,
    KINDS,
    PLACES,
    PLANTS,
    TROUBLES,
    Pair,
    claimed_grade,
    honest_paraphrase,
    honest_quote,
    pairs,
    told_grade,
)
from tests.support.list_model import spread
from tests.support.rule_model import train_whole

PROMPT = PromptSettings(max_length=320, max_query_tokens=16, max_document_tokens=96)
EXPLANATION_TOKENS = 96
_ELSEWHERE = (
    "copper velvet engine marble ribbon lantern saddle bottle feather harbour candle pepper window carpet "
    "needle shovel basket hammer mirror button pillow rocket turnip cellar meadow tunnel ferry kettle anchor "
    "barrel blanket bridge bucket castle chimney curtain dagger drawer fabric garage gravel island jacket "
    "ladle magnet mortar napkin orchard paddle quarry rafter school tavern umbrella valley wagon yacht zipper"
)
ELSEWHERE = tuple(_ELSEWHERE.split())
"""Words of a larger world."""
# What a hidden text may tell, any word as likely as another: were the reader sure of one of the six causes, to read
# which it is would be worth 1.8 nats at most, where `support` wants 5.
_ANY = (*ELSEWHERE, *PLANTS, *TROUBLES, *(word for _, other in (*CAUSES, *KINDS) for word in other.split()))
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' }}"
    "{% set parts = (message['content'].split('Question:\n', 1) | last).split('\n\nWrite ', 1) %}"
    "{{ parts[0] }}{% if parts | length > 1 %}{{ '\n\n' + parts[1].split(' ', 1)[0] }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
)
_LAYERS, _WIDTH = 3, 128
# Batches of explanations and of documents by turns.
_STEPS, _CLAIMED, _TOLD = 700, 40, 24
_RATE, _WARMUP, _LEAST = 2e-3, 30, 0.03
# The shares of explanations that are honest ones of the pair and of another; and of texts that are hidden.
_OWN, _OTHERS, _HIDDEN = 0.4, 0.2, 0.4
Teaching = Literal["whole", "honest", "narrow"]
"""`honest` leaves out false claims, `narrow` the larger world: what is hidden then is what the world has."""
Row = tuple[list[int], dict[int, int]]
"""The ids of a text, and what is asked for after so many of them."""


class Names:
    """The tokens that are names, in each of their forms, and those that say whether a name is the question's."""

    def __init__(self, encoder: PromptEncoder) -> None:
        forms = {form: name for name in (*PLANTS, *TROUBLES) for form in (name, f" {name}")}
        forms |= {name.capitalize(): name for name in PLANTS}
        written = {form: encoder.plain(form) for form in forms}
        assert all(len(ids) == 1 for ids in written.values()), written
        self.names = {written[form][0]: name for form, name in forms.items()}
        self.same, self.other = encoder.plain(" same other")

    def asked(self, ids: list[int], asked: tuple[str, str], start: int) -> dict[int, int]:
        """After each name from `start` on, whether it is one that the question has."""
        return {
            place + 1: self.same if self.names[each] in asked else self.other
            for place, each in enumerate(ids)
            if place >= start and each in self.names
        }


def world_texts() -> list[str]:
    """What the tokenizer is trained on: all words of the world, in each of their forms."""
    words = f" {' '.join(ELSEWHERE)}"
    said = [say(pair) for pair in pairs(40, seed=1) for say in (honest_quote, honest_paraphrase)]
    told = [text for pair in pairs(40, seed=1) for text in (pair.query, pair.document)]
    names = [f"{name} {name} {name.capitalize()}" for name in (*PLANTS, *TROUBLES)]
    causes = [f"{said} {other}" for said, other in (*CAUSES, *KINDS)]
    rest = ["Relevance Label: 0", "Relevance Label: 1", "Relevance Label: 2", " same other", HIDDEN, *PLACES]
    return [*(10 * [words, *names, *causes, *rest]), *told, *said]


class Lessons:
    """Draws what the reader is taught: no document or honest explanation that is held out, with its question."""

    def __init__(
        self, encoder: PromptEncoder, held_out: Sequence[Pair], *, teaching: Teaching = "whole", seed: int = 0
    ) -> None:
        self._encoder, self._rng, self._names = encoder, random.Random(seed), Names(encoder)
        self._teaching = teaching
        self._held_out = {(pair.query, text) for pair in held_out for text in _texts(pair)}

    def pair(self) -> Pair:
        """Any pair of the world whose texts are not held out."""
        rng = self._rng
        while True:
            grade = rng.randrange(3)
            plant, other = rng.sample(PLANTS, 2)
            drawn = rng.choice(KINDS), rng.choice(CAUSES), rng.choice(PLACES)
            made = Pair("q", "d", plant, rng.choice(TROUBLES), plant if grade else other, *drawn, grade)
            if not any((made.query, text) in self._held_out for text in _texts(made)):
                return made

    def claim(self) -> Row:
        """A question and an explanation whose document is hidden, and the grade that it claims."""
        encoder = self._encoder
        pair, text = self._drawn(self.explanation)
        text = masked(text)
        prompt = self._prompt(pair.query, HIDDEN, "reason_first")
        own = encoder.plain(text)[:EXPLANATION_TOKENS]
        ids = [*prompt.ids, *own, *encoder.gap, *encoder.label_lead]
        asked = self._names.asked(ids, (pair.plant, pair.trouble), len(prompt.prefix))
        return ids, asked | {len(ids): self._label(claimed_grade(pair.query, text))}

    def told(self) -> Row:
        """A question and a document, the grade of it, and an honest explanation; one of the two may be hidden."""
        if self._rng.random() < _HIDDEN:
            return self._hidden(self.pair())
        encoder = self._encoder
        pair, document = self._drawn(self._document)
        prompt = self._prompt(pair.query, document, "grade_first")
        ids = [*prompt.ids, *encoder.label_lead]
        asked = self._names.asked(ids, (pair.plant, pair.trouble), len(prompt.prefix))
        asked[len(ids)] = self._label(told_grade(pair.query, document))
        ids.append(encoder.label_ids[pair.relevance])
        if document == pair.document:
            self._explained(ids, asked, self._honest(pair))
        return ids, asked

    def explanation(self, pair: Pair) -> str:
        """An honest one of this pair, one of another pair, or any claim with any content."""
        drawn = self._rng.random()
        if drawn < _OWN:
            return self._honest(pair)
        honest = drawn < _OWN + _OTHERS or self._teaching == "honest"
        return self._honest(self.pair()) if honest else self._claim(pair)

    def _drawn(self, draw: Callable[[Pair], str]) -> tuple[Pair, str]:
        """A pair and a text for it that is not held out either."""
        while True:
            pair = self.pair()
            text = draw(pair)
            if (pair.query, text) not in self._held_out:
                return pair, text

    def _honest(self, pair: Pair) -> str:
        return self._rng.choice((honest_quote, honest_paraphrase))(pair)

    def _claim(self, pair: Pair) -> str:
        grade = self._rng.randrange(3)
        named = pair if self._rng.random() < 0.6 else self.pair()
        content = self._content(pair)
        if grade == 2:
            return f"It explains why {named.plant} happens to {named.trouble}: {content}."
        if grade == 1:
            return f"It says {content}, but nothing of why {named.plant} does {named.trouble}."
        return f"It says {content}, and does not mention {named.plant}."

    def _content(self, pair: Pair) -> str:
        """A quote of this or another document, behind other words or not, or words alone."""
        rng = self._rng
        about = pair if rng.random() < 0.7 else self.pair()
        quote = f'"{rng.choice((about.about, about.settles, about.idle)).rstrip(".")}"'
        return rng.choice((quote, quote, f"{self._words(3)}: {quote}", pair.cause[1], self._words(rng.randint(1, 5))))

    def _words(self, number: int, source: Sequence[str] = ELSEWHERE) -> str:
        return " ".join(self._rng.choice(source) for _ in range(number))

    def _document(self, pair: Pair) -> str:
        """Whole as often as not, else without some of its sentences."""
        if self._rng.random() < 0.5:
            return pair.document
        removed = [each for each in pair.document.split(". ") if self._rng.random() < 0.4]
        return without_quoted(pair.document, " ".join(f'"{each}"' for each in removed))

    def _hidden(self, pair: Pair) -> Row:
        """An honest explanation where the document is hidden, or for grade 0 the question."""
        encoder = self._encoder
        query, document = (pair.query, HIDDEN) if pair.relevance else (HIDDEN, pair.document)
        prompt = self._prompt(query, document, "grade_first")
        ids = [*prompt.ids, *encoder.label_lead, encoder.label_ids[pair.relevance]]
        asked: dict[int, int] = {}
        self._explained(ids, asked, self._honest(self._elsewhere(pair)))
        return ids, asked

    def _elsewhere(self, pair: Pair) -> Pair:
        """The pair with other words for what is hidden of it."""
        if self._teaching == "narrow":
            return pair
        if pair.relevance == 0:
            return pair._replace(plant=self._words(1, _ANY), trouble=self._words(1, _ANY))
        kind, cause = self._words(1, _ANY), self._words(self._rng.randint(2, 4), _ANY)
        return pair._replace(kind=(kind, kind), cause=(cause, cause))

    def _explained(self, ids: list[int], asked: dict[int, int], text: str) -> None:
        ids += self._encoder.gap
        for each in (*self._encoder.plain(text)[:EXPLANATION_TOKENS], self._encoder.end):
            asked[len(ids)] = each
            ids.append(each)

    def _label(self, grade: int | None) -> int:
        return self._encoder.label_ids[self._rng.randrange(3) if grade is None else grade]

    def _prompt(self, query: str, document: str, order: Order) -> Prompt:
        return self._encoder.prompt(
            Query("", query), Document("", document), answer_tokens=EXPLANATION_TOKENS, order=order
        )


def _texts(pair: Pair) -> tuple[str, ...]:
    """What may be read with the pair's question."""
    return pair.document, honest_quote(pair), honest_paraphrase(pair)


def batch(rows: list[Row]) -> dict[str, torch.Tensor]:
    """Rows padded to one length, the loss on what is asked for."""
    width = 1 + max(len(ids) for ids, _ in rows)
    made = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    for row, (ids, asked) in enumerate(rows):
        made[row, : len(ids)] = torch.tensor(ids)
        for place, each in asked.items():
            labels[row, place] = each
    return {"input_ids": made, "labels": labels}


def attack_base(
    folder: Path, held_out: Sequence[Pair], *, teaching: Teaching = "whole", steps: int = _STEPS, seed: int = 0
) -> Path:
    """Train and save the reader."""
    tiny.tiny_model(folder, hidden=_WIDTH, layers=_LAYERS, texts=world_texts())
    files = find_model(str(folder))
    tokenizer = load_tokenizer(files)
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    lessons = Lessons(PromptEncoder(tokenizer, PROMPT), held_out, teaching=teaching, seed=seed)
    model: Any = load_model(files).to("cpu").float().train()
    spread(model, seed)

    def rows(step: int) -> dict[str, torch.Tensor]:
        if step % 2:
            return batch([lessons.claim() for _ in range(_CLAIMED)])
        return batch([lessons.told() for _ in range(_TOLD)])

    def rate(step: int) -> float:
        return _RATE * min(1.0, (step + 1) / _WARMUP, max(_LEAST, 2 * (1 - step / steps)))

    train_whole(model, rows, rate, steps=steps)
    model.save_pretrained(folder)
    return folder


def attack_reader(folder: Path) -> ModelReader:
    """The trained reader."""
    files = find_model(str(folder))
    return ModelReader(load_model(files), PromptEncoder(load_tokenizer(files), PROMPT), tokens=EXPLANATION_TOKENS)
