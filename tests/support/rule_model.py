"""A tiny base model that has read the rule's texts: it can compare two of them, but grades by how much they differ.

LoRA on a random frozen base learns next to nothing, so the base is first trained whole on a neighbouring task.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.settings import PromptSettings
from interank.types import GRADES, Document, Judgment, Query
from tests.support import rule, tiny

PROMPT = PromptSettings(max_length=256, max_query_tokens=32, max_document_tokens=48)
_SHORT_STEPS, _SHORT_ROWS = 300, 64
_FRAMED_STEPS, _FRAMED_ROWS = 200, 21
_RATE = 2e-3
_WARMUP = 30
_LEAST = 0.05
_LABELLED = 0.3
Row = tuple[list[int], list[int]]
"""The ids of a prompt and of its answer."""


def rule_base(folder: Path) -> Path:
    """Train and save the base; about 40 seconds on two cores."""
    tiny.tiny_model(folder, hidden=128)
    files = find_model(str(folder))
    encoder = PromptEncoder(load_tokenizer(files), PROMPT)
    model: Any = load_model(files).to("cpu").float().train()
    rng = random.Random(0)

    def rows(step: int) -> dict[str, torch.Tensor]:
        # First without the long instruction, which a model that cannot copy yet only drowns in.
        short = step < _SHORT_STEPS
        return batch([row(encoder, rng, short=short) for _ in range(_SHORT_ROWS if short else _FRAMED_ROWS)])

    def rate(step: int) -> float:
        # Without falling to nothing at the end, how well it reads depends on the machine's last digits.
        left = 1.0 if step < _SHORT_STEPS else 1.0 - (step - _SHORT_STEPS) / _FRAMED_STEPS
        return _RATE * min(1.0, (step + 1) / _WARMUP, max(_LEAST, left))

    train_whole(model, rows, rate, steps=_SHORT_STEPS + _FRAMED_STEPS)
    model.save_pretrained(folder)
    return folder


def train_whole(
    model: Any, rows: Callable[[int], dict[str, torch.Tensor]], rate: Callable[[int], float], *, steps: int
) -> None:
    """Train all weights of a model, with the batch and the learning rate of each step; it is left in evaluation."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    for step in range(steps):
        drawn = rows(step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        model(**drawn).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def row(encoder: PromptEncoder, rng: random.Random, *, short: bool) -> Row:
    """A question and a document, and an answer of one of several forms; `short` without the long instruction."""
    query, document = names(rng)
    prompt = asked(encoder, query, document, rng)
    say = rng.choice([rule.reasoning, rule.spelled_out])
    if rng.random() < _LABELLED:
        # An answer as the student will give it, but its grade counts in how much the texts differ.
        differing = GRADES[2 - rule.judge(query, document).relevance]
        answer = list(encoder.answer(Judgment(rule.reasoning(query, document), differing), reasoning_tokens=99))
    else:
        answer = [*encoder.plain(say(query, document)), encoder.end]
    return (shortened(prompt) if short else list(prompt.ids)), answer


def names(rng: random.Random) -> tuple[tuple[str, str], tuple[str, str]]:
    """Colour and animal that are asked for, and of a document that has each of them as often as not."""
    query = (rng.choice(rule.COLOURS), rng.choice(rule.ANIMALS))
    document = (
        query[0] if rng.random() < 0.5 else rng.choice(rule.COLOURS),
        query[1] if rng.random() < 0.5 else rng.choice(rule.ANIMALS),
    )
    return query, document


def asked(encoder: PromptEncoder, query: tuple[str, str], document: tuple[str, str], rng: random.Random) -> Prompt:
    """The prompt of both."""
    return encoder.prompt(
        Query("q", rule.query_text(*query)),
        Document("d", rule.document_text(*document, rng.choice(rule.PLACES))),
        answer_tokens=40,
    )


def shortened(prompt: Prompt) -> list[int]:
    """Its ids without the long instruction."""
    return [1, *prompt.prefix[-9:], *prompt.document, *prompt.suffix[-3:]]


def batch(rows: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    """Rows of prompt and answer padded to one length, the loss on the answers."""
    width = max(len(ids) + len(answer) for ids, answer in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return {"input_ids": ids, "labels": labels}
