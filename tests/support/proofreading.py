"""A tiny base that proofreads as well: it has read what the rule's base has, and says which words of a text are wrong.

So small a model on which LoRA alone is trained never learns to hold names against names, however many pairs it sees.
What counts as wrong is not what an explanation is worth: of marks the base knows nothing.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.engines.prompts import PromptEncoder
from interank.types import Document, Query
from tests.support import rule, rule_model, tiny
from tests.support.list_model import spread
from tests.support.marked_explanations import READING
from tests.support.rule_model import PROMPT, Row

_LAYERS = 3
_SHORT_STEPS, _SHORT_ROWS, _PROOFS_BESIDE = 800, 20, 28
_FRAMED_STEPS, _FRAMED_ROWS, _PROOFS = 400, 21, 64
_RATE, _WARMUP, _LEAST = 2e-3, 60, 0.05
# The share of words that are wrong, of a row each.
_WRONG = (0.1, 0.4)


def proofreading_base(folder: Path) -> Path:
    """Train and save the base."""
    tiny.tiny_model(folder, hidden=128, layers=_LAYERS)
    files = find_model(str(folder))
    tokenizer = load_tokenizer(files)
    prompts, pairs = PromptEncoder(tokenizer, PROMPT), PairEncoder(tokenizer, READING)
    model: Any = load_model(files).to("cpu").float().train()
    spread(model)
    rng = random.Random(0)

    def rows(step: int) -> list[Row]:
        if step < _SHORT_STEPS:
            short = [rule_model.row(prompts, rng, short=True) for _ in range(_SHORT_ROWS)]
            return [*short, *(proof(pairs, rng) for _ in range(_PROOFS_BESIDE))]
        # By turns, since the long instruction would pad the short rows.
        if step % 2:
            return [proof(pairs, rng) for _ in range(_PROOFS)]
        return [rule_model.row(prompts, rng, short=False) for _ in range(_FRAMED_ROWS)]

    def rate(step: int) -> float:
        left = 1.0 if step < _SHORT_STEPS else 1.0 - (step - _SHORT_STEPS) / _FRAMED_STEPS
        return _RATE * min(1.0, (step + 1) / _WARMUP, max(_LEAST, left))

    rule_model.train_whole(model, rows, rate, steps=_SHORT_STEPS + _FRAMED_STEPS)
    model.save_pretrained(folder)
    return folder


def proof(encoder: PairEncoder, rng: random.Random) -> Row:
    """Query, document, a text of what both say, and of each of its six words whether it is the same as theirs."""
    query = (rng.choice(rule.COLOURS), rng.choice(rule.ANIMALS))
    document = (
        query[0] if rng.random() < 0.5 else rng.choice(rule.COLOURS),
        query[1] if rng.random() < 0.5 else rng.choice(rule.ANIMALS),
    )
    share = rng.choice(_WRONG)
    claims = ["same" if asked == told else "other" for asked, told in zip(query, document, strict=True)]
    right = (*query, *document, *claims)
    words = (rule.COLOURS, rule.ANIMALS, rule.COLOURS, rule.ANIMALS, ("same", "other"), ("same", "other"))
    said = [
        rng.choice([word for word in others if word != wanted]) if rng.random() < share else wanted
        for wanted, others in zip(right, words, strict=True)
    ]
    text = f"Asked {said[0]} {said[1]}, found {said[2]} {said[3]}: {said[4]} colour, {said[5]} animal."
    found = Document("d", rule.document_text(*document, rng.choice(rule.PLACES)))
    pair = encoder.pair(Query("q", rule.query_text(*query)), found, text)
    told = " ".join("same" if word == wanted else "other" for word, wanted in zip(said, right, strict=True))
    return list(pair.ids), [*encoder.plain(f" {told}"), encoder.tokenizer.eos_token_id]
