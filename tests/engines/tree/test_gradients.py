"""Gradients through a tree are those of plain forward passes, whatever its batch, order, completions and padding."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from interank.engines.tree.prefix_tree import Ids, plant_sequences
from interank.training.completions import score
from interank.training.shared_prefix import let_score_trees
from tests.engines.tree.test_pieces import VOCABULARY, branching, smollm2
from tests.support.families import family_model

TEMPERATURE, CPU = 0.7, torch.device("cpu")
# Relative to all gradients together: both sides compute in float32 and add in another order.
ERROR = 1e-5


@pytest.fixture(scope="module", params=["smollm2", "llama 3", "qwen3"])
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """One that computes trees, and the same as it is."""
    plain = smollm2() if request.param == "smollm2" else family_model(request.param, VOCABULARY)
    plain, planted = copy.deepcopy(plain), copy.deepcopy(plain)
    let_score_trees(planted, temperature=TEMPERATURE, cast_lm_head_to_fp32=False)
    return planted, plain


def rows_of(rng: random.Random, number: int) -> list[tuple[Ids, Ids]]:
    """Prompts that share beginnings, each with one to three completions, some of them none, some of them equal."""
    rows = [
        (prompt, tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(0, 9))))
        for prompt in branching(rng, number)
        for _ in range(rng.randint(1, 3))
    ]
    rows.append((rows[0][0], (5, 6, 7)))
    rows += rng.sample(rows, 1)
    rng.shuffle(rows)
    return rows


def padded(rows: Sequence[tuple[Ids, Ids]], more: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """As TRL hands rows over: prompts padded on the left, completions on the right, `more` than is needed."""
    left, right = (max(len(row[part]) for row in rows) + more for part in range(2))
    ids, mask = (torch.zeros(len(rows), left + right, dtype=torch.long) for _ in range(2))
    for number, (prompt, completion) in enumerate(rows):
        places = slice(left - len(prompt), left + len(completion))
        ids[number, places], mask[number, places] = torch.tensor((*prompt, *completion)), 1
    return ids, mask, right


def gradients(model: Any, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([found.flatten() for found in torch.autograd.grad(loss, list(model.parameters()))])


@settings(max_examples=8, phases=(Phase.explicit, Phase.generate))
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(1, 5),
    cuts=st.integers(1, 3),
    more=st.integers(0, 5),
    answers_in_trunks=st.booleans(),
)
def test_gradients_are_those_of_plain_forward_passes(
    models: tuple[Any, Any], seed: int, number: int, cuts: int, more: int, answers_in_trunks: bool
) -> None:
    planted, plain = models
    rng = random.Random(seed)
    rows = rows_of(rng, number)
    ids, mask, width = padded(rows, more)
    weights = torch.randn(len(rows), width, generator=torch.Generator().manual_seed(seed))
    size = -(-len(rows) // cuts)
    found = torch.zeros(())
    # Microbatches, each a tree of its own.
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        if answers_in_trunks:
            tree = plant_sequences(rows[part], width, CPU)
            logps = planted(prefix_tree=tree).log_probs[0][tree.predictions.clamp(min=0)]
            logps = logps.masked_fill(tree.predictions < 0, 0.0)
        else:
            logps, _ = score(planted, ids[part], mask[part], width, planted=True)
        found = found + (logps * weights[part]).sum()
    expected = torch.zeros(())
    for (prompt, completion), own in zip(rows, weights, strict=True):
        logits = plain(torch.tensor([(*prompt, *completion)])).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
        logps = logits.log_softmax(-1)[torch.arange(len(completion)), list(completion)]
        expected = expected + (logps * own[: len(completion)]).sum()
    ours, theirs = gradients(planted, found), gradients(plain, expected)
    assert float(theirs.norm()) > 0
    assert float((ours - theirs).norm() / theirs.norm()) < ERROR
