"""A tiny base model that says where in a list the animal asked for stands, but ranks at random.

LoRA on a random frozen base learns next to nothing, so the base is first trained whole on a neighbouring task.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks.order.encoder import ListEncoder
from interank.types import Document, Query
from tests.support import list_rule, tiny
from tests.support.rule_model import Row, batch, train_whole

PROMPT = ListPromptSettings(max_length=512, max_query_tokens=16, max_document_tokens=8)
REASONING_TOKENS = 8
_SHORT_STEPS, _SHORT_ROWS, _SHORT_RATE = 50, 48, 3e-3
_FRAMED_STEPS, _FRAMED_ROWS, _FRAMED_RATE = 90, 16, 1e-3
_WARMUP = 20
# Larger than usual: so small a model hardly begins to copy from the usual weights.
_SPREAD = 0.08


def list_base(folder: Path) -> Path:
    """Train and save the base."""
    tiny.tiny_model(folder, hidden=128, texts=list(list_rule.all_texts()))
    files = find_model(str(folder))
    encoder = ListEncoder(PromptEncoder(load_tokenizer(files), PromptSettings()), PROMPT)
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


def spread(model: LlamaForCausalLM, seed: int = 0) -> None:
    """Draw a model's first weights anew, so large that it begins to copy."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=_SPREAD)


def _row(encoder: ListEncoder, rng: random.Random, *, short: bool) -> Row:
    asked, found = list_rule.animals(rng)
    said = list_rule.reasoning(asked, found)
    if short:
        listed = "\n\n".join(f"[{number}] {animal}" for number, animal in enumerate(found, start=1))
        plain = encoder.encoder.plain
        return [*plain(f"{listed}\n\n{list_rule.query_text(asked)}\n")], [*plain(said), encoder.end]
    query = Query("q", list_rule.query_text(asked))
    documents = [Document(str(place), animal) for place, animal in enumerate(found)]
    prompt = encoder.prompt(query, documents, reasoning_tokens=REASONING_TOKENS).prompt
    order = rng.sample(range(len(found)), len(found))
    return list(prompt.ids), list(encoder.answer(order, said, reasoning_tokens=REASONING_TOKENS))
