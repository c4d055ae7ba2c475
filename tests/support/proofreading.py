"""A tiny base that proofreads as well: it has read what the rule's base has, and says which words of a text are wrong.

So small a model on which LoRA alone is trained never learns to hold names against names, however many pairs it sees.
What counts as wrong is not what an explanation is worth: of marks the base knows nothing.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.engines.prompts import PromptEncoder
from interank.types import Document, Query
from tests.support import rule, rule_model, tiny
from tests.support.list_model import spread
from tests.support.marked_explanations import READING
from tests.support.rule_model import PROMPT, Row, batch

_LAYERS = 3
# First to spell out, then to proofread as well, then to answer the long instruction; batches of each by turns.
_SPELLED_STEPS, _SPELLED_ROWS = 400, 12
_PROOF_STEPS, _PROOFS = 1200, 10
_FRAMED_STEPS, _FRAMED_ROWS = 800, 7
_RATE, _WARMUP, _LEAST = 2e-3, 30, 0.05
# The shares of names and of claims that are wrong, of a row each.
_WRONG = ((0.1, 0.3), (0.4, 0.4))
_SAME_OR_OTHER = ("same", "other")
# Where the six words of a text stand, from its end: "Asked red owl, found red cow: same colour, other animal."
_NAMES, _CLAIMS = (-13, -12, -9, -8), (-6, -3)


def proofreading_base(folder: Path) -> Path:
    """Train and save the base; about two minutes on one core."""
    tiny.tiny_model(folder, hidden=128, layers=_LAYERS)
    files = find_model(str(folder))
    tokenizer = load_tokenizer(files)
    prompts, pairs = PromptEncoder(tokenizer, PROMPT), PairEncoder(tokenizer, READING)
    model: Any = load_model(files).to("cpu").float().train()
    spread(model)
    rng = random.Random(0)

    def rows(step: int) -> dict[str, torch.Tensor]:
        if step >= _SPELLED_STEPS and step % 2:
            return proofs([proof(pairs, rng) for _ in range(_PROOFS)], pairs)
        if step < _SPELLED_STEPS + _PROOF_STEPS:
            return batch([_spelled_out(prompts, rng) for _ in range(_SPELLED_ROWS)])
        return batch([rule_model.row(prompts, rng, short=False) for _ in range(_FRAMED_ROWS)])

    def rate(step: int) -> float:
        left = 1.0 - max(0, step - _SPELLED_STEPS - _PROOF_STEPS) / _FRAMED_STEPS
        return _RATE * min(1.0, (step + 1) / _WARMUP, max(_LEAST, left))

    rule_model.train_whole(model, rows, rate, steps=_SPELLED_STEPS + _PROOF_STEPS + _FRAMED_STEPS)
    model.save_pretrained(folder)
    return folder


def _spelled_out(encoder: PromptEncoder, rng: random.Random) -> Row:
    """What is spelled out first is compared far sooner than what is not."""
    query, document = rule_model.names(rng)
    answer = [*encoder.plain(rule.spelled_out(query, document)), encoder.end]
    return rule_model.shortened(rule_model.asked(encoder, query, document, rng)), answer


def proof(encoder: PairEncoder, rng: random.Random) -> Row:
    """Query, document, a text of what both say, and of each of its six words whether it is the same as theirs."""
    query, document = rule_model.names(rng)
    names, claims = rng.choice(_WRONG)
    told = ["same" if asked == found else "other" for asked, found in zip(query, document, strict=True)]
    right = (*query, *document, *told)
    words = (rule.COLOURS, rule.ANIMALS, rule.COLOURS, rule.ANIMALS, _SAME_OR_OTHER, _SAME_OR_OTHER)
    shares = (names, names, names, names, claims, claims)
    said = [
        rng.choice([word for word in others if word != wanted]) if rng.random() < share else wanted
        for wanted, others, share in zip(right, words, shares, strict=True)
    ]
    text = f"Asked {said[0]} {said[1]}, found {said[2]} {said[3]}: {said[4]} colour, {said[5]} animal."
    found = Document("d", rule.document_text(*document, rng.choice(rule.PLACES)))
    pair = encoder.pair(Query("q", rule.query_text(*query)), found, text)
    verdicts = " ".join("same" if word == wanted else "other" for word, wanted in zip(said, right, strict=True))
    return list(pair.ids), [*encoder.plain(f" {verdicts}"), encoder.tokenizer.eos_token_id]


def proofs(rows: list[Row], encoder: PairEncoder) -> dict[str, torch.Tensor]:
    """Such rows as a batch; each word's verdict is asked for right after the word as well, and claims before them.

    Asked for at the end alone, it takes many times the steps until a word is held against the texts.
    """
    made = batch(rows)
    same, other = encoder.plain(" same other")
    for labels, (ids, verdicts) in zip(made["labels"], rows, strict=True):
        for place, verdict in zip((*_NAMES, *_CLAIMS), verdicts, strict=False):
            labels[len(ids) + place + 1] = verdict
        for place, verdict in zip(_CLAIMS, verdicts[len(_NAMES) :], strict=False):
            said = ids[place]
            labels[len(ids) + place] = said if verdict == same else same + other - said
    return made
