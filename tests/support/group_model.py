"""A tiny base model that says which animal each document of a window names, but grades at random; and a rule of grades.

LoRA on a random frozen base learns next to nothing, so the base is first trained whole on a neighbouring task.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import PromptSettings, WindowPromptSettings
from interank.tasks.group import GroupEncoder, question
from interank.types import GRADES, Document, Example, Judgment, Query, Relevance, Source, Split
from tests.support import tiny
from tests.support.list_model import spread
from tests.support.rule import ANIMALS
from tests.support.rule_model import Row, batch, train_whole

SIZE = 4
PROMPT = WindowPromptSettings(max_length=384, max_query_tokens=16, max_document_tokens=8)
_SHORT_STEPS, _SHORT_ROWS, _SHORT_RATE = 60, 48, 3e-3
_FRAMED_STEPS, _FRAMED_ROWS, _FRAMED_RATE = 50, 16, 1e-3
_WARMUP = 20
_LABELLED = 0.5
_QUESTION = "Which animal barks?"
_SOURCE = Source("rule", "0", "", "", "")


def grade(animal: str) -> Relevance:
    """The fox settles it, the owl is about the matter, nothing else helps."""
    return Relevance(max(0, 2 - ANIMALS.index(animal)))


def examples(seed: int, *, queries: int, split: Split = "train") -> list[Example]:
    """Windows that hold a fox, an owl and other animals, in random order."""
    rng, made = random.Random(seed), []
    for number in range(queries):
        name = f"{split}{seed}-{number}"
        found = [*ANIMALS[:2], *rng.sample(ANIMALS[2:], SIZE - 2)]
        rng.shuffle(found)
        for place, animal in enumerate(found):
            document = Document(f"{name}-{place}", animal)
            made.append(Example(Query(name, _QUESTION), document, Judgment("", grade(animal)), None, split, _SOURCE))
    return made


def group_base(folder: Path) -> Path:
    """Train and save the base."""
    tiny.tiny_model(folder, hidden=128, texts=list(_texts()))
    files = find_model(str(folder))
    encoder = GroupEncoder(PromptEncoder(load_tokenizer(files), PromptSettings()), PROMPT)
    model: Any = load_model(files).to("cpu").float().train()
    spread(model)
    rng = random.Random(0)

    def rows(step: int) -> dict[str, torch.Tensor]:
        # First without the long instruction, as of `rule_model`.
        short = step < _SHORT_STEPS
        return batch([_row(encoder, rng, short=short) for _ in range(_SHORT_ROWS if short else _FRAMED_ROWS)])

    def rate(step: int) -> float:
        return (_SHORT_RATE if step < _SHORT_STEPS else _FRAMED_RATE) * min(1.0, (step + 1) / _WARMUP)

    train_whole(model, rows, rate, steps=_SHORT_STEPS + _FRAMED_STEPS)
    model.save_pretrained(folder)
    return folder


def _row(encoder: GroupEncoder, rng: random.Random, *, short: bool) -> Row:
    found = rng.sample(ANIMALS, SIZE)
    plain = encoder.encoder.plain
    said = [index for number, animal in enumerate(found, 1) for index in plain(_said(number, animal))]
    if short:
        listed = "\n\n".join(f"[{number}] {animal}" for number, animal in enumerate(found, start=1))
        return list(plain(f"{listed}\n\n{_QUESTION}\n")), [*said, encoder.end]
    documents = [Document(str(place), animal) for place, animal in enumerate(found)]
    prompt = encoder.prompt(Query("q", _QUESTION), documents, reasoning_tokens=0).prompt
    # An answer as the student will give it, but its grades say nothing.
    graded = encoder.answer(rng.choices(GRADES, k=SIZE))
    return list(prompt.ids), list(graded) if rng.random() < _LABELLED else [*said, encoder.end]


def _said(number: int, animal: str) -> str:
    return f"{'' if number == 1 else chr(10)}[{number}] {animal}"


def _texts() -> Iterator[str]:
    """What a tokenizer should know."""
    yield _QUESTION
    for animal in ANIMALS:
        yield f" {animal}"
        yield "".join(_said(number, animal) for number in range(1, SIZE + 1))
    yield question("", [""] * SIZE)
