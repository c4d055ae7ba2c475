"""Prompts read as a tree in pieces have the logits of a plain forward pass, whatever their batch, order and budget."""

from __future__ import annotations

import random
import weakref
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from interank.engines.alignment import AlignedRunner
from interank.engines.budget import Budget
from interank.engines.prompts import Prompt
from interank.engines.transformers import TransformersEngine
from interank.engines.tree import pieces
from interank.engines.tree.attention import attend
from interank.engines.tree.pieces import TextTree
from interank.engines.tree.prefix_tree import SHORTEST_SHARED, Ids
from interank.engines.tree.runner import TreeRunner
from tests.support.families import family_model

VOCABULARY, LABELS = 300, (40, 41, 42)
# Of the largest logit: both sides compute in float32 and add in another order.
ERROR = 1e-5


def smollm2() -> Any:
    """SmolLM2's make: Llama with three query heads a key head, and a head that is the embeddings."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=72,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=9,
        num_key_value_heads=3,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        # A fresh model's logits hardly differ; stronger weights make a mistake visible.
        parameter.data += torch.randn_like(parameter) * 0.1
    return model


@pytest.fixture(scope="module", params=["smollm2", "llama 3", "qwen3"])
def model(request: pytest.FixtureRequest) -> Any:
    return smollm2() if request.param == "smollm2" else family_model(request.param, VOCABULARY)


def branching(rng: random.Random, number: int) -> list[Ids]:
    """Texts that begin as others do, or as others end in; some equal."""
    found: list[Ids] = [()]
    for _ in range(number):
        stem = rng.choice(found)
        kept = stem[: rng.choice([len(stem), rng.randint(0, len(stem))])]
        found.append((*kept, *(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(1, 70)))))
    texts = found[1:]
    return [*texts, texts[0]]


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 10_000), number=st.integers(1, 7), tokens=st.integers(1, 300), ends=st.integers(1, 9))
def test_each_logit_is_that_of_a_plain_forward_pass(model: Any, seed: int, number: int, tokens: int, ends: int) -> None:
    rng = random.Random(seed)
    prompts = [Prompt((), text, ()) for text in branching(rng, number)]
    rng.shuffle(prompts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_MOST_ENDS", ends)
        read = TransformersEngine(model, budget=Budget(tokens, keys=1)).label_logits(prompts, LABELS)
    for prompt, found in zip(prompts, read, strict=True):
        with torch.no_grad():
            plain = model(torch.tensor([prompt.ids])).logits[0, -1]
        assert found.logits == pytest.approx(plain[list(LABELS)].tolist(), abs=ERROR * float(plain.abs().max()))


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 10_000), number=st.integers(1, 7), tokens=st.integers(1, 300), share=st.floats(0, 1))
def test_prompts_go_on_from_a_beginning_that_was_read(
    model: Any, seed: int, number: int, tokens: int, share: float
) -> None:
    """Prompts that begin otherwise, or end with it, are read whole."""
    rng = random.Random(seed)
    texts = branching(rng, number)
    beginning = texts[0][: 1 + int(share * (len(texts[0]) - 1))]
    engine = TransformersEngine(model, budget=Budget(tokens, keys=1))
    prompts = [Prompt((), text, ()) for text in [*texts, beginning, (*beginning, 7)]]
    plain = engine.label_logits(prompts, LABELS)
    engine.beginning = engine.read_beginning(beginning)
    for _ in range(2):
        for found, own in zip(engine.label_logits(prompts, LABELS), plain, strict=True):
            assert found.logits == pytest.approx(own.logits, abs=ERROR * max(map(abs, own.logits)), rel=1e-4)


def test_a_beginning_that_was_read_is_not_read_again() -> None:
    model, beginning = smollm2(), tuple(range(3, 53))
    engine, sizes = TransformersEngine(model), list[int]()
    model.model.layers[0].register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[1]))
    engine.beginning = engine.read_beginning(beginning)
    assert sizes == [50]
    engine.label_logits([Prompt(beginning, (200,), (201,)), Prompt((*beginning, 210), (211,), ())], LABELS)
    assert sizes[1:] == [4]
    engine.label_logits([Prompt(beginning[1:], (200,), ())], LABELS)
    assert sizes[2:] == [50]


@given(seed=st.integers(0, 10_000), number=st.integers(1, 12), tokens=st.integers(1, 300))
def test_each_text_stands_in_the_row_and_ends_once(seed: int, number: int, tokens: int) -> None:
    texts = branching(random.Random(seed), number)
    planted = TextTree(texts)
    parts = list(planted.pieces(tokens, torch.device("cpu")))
    row = torch.cat([part.tree.ids[0] for part in parts]).tolist()
    assert max(part.tree.ids.shape[1] for part in parts) <= tokens
    assert sorted(text for part in parts for text in part.ends) == sorted({*texts})
    for text in texts:
        assert [row[place] for start, end in planted.spans(text) for place in range(start, end)] == list(text)
    # The order of the texts changes nothing.
    again = [part.tree.ids.tolist() for part in TextTree(texts[::-1]).pieces(tokens, torch.device("cpu"))]
    assert again == [part.tree.ids.tolist() for part in parts]


def test_what_texts_begin_with_alike_stands_once() -> None:
    stem = tuple(range(3, 3 + SHORTEST_SHARED))
    texts = [(*stem, number, 7) for number in range(5)]
    (part,) = TextTree(texts).pieces(1000, torch.device("cpu"))
    assert part.tree.ids.shape[1] == len(stem) + 5 * 2


def test_a_text_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="without a token"):
        TextTree([(1, 2), ()])


def test_equal_prompts_take_no_more_rows_of_the_vocabulary_than_one() -> None:
    runner = TreeRunner(smollm2())
    prompts = [Prompt((), (5, 6, 7), ()), Prompt((), (8, 9), ())] * 50
    found = list(runner.logits(prompts, Budget(64, 2**28), LABELS))
    assert max(len(logits) for _, logits in found) == 2
    assert sorted(place for places, _ in found for place in places) == list(range(len(prompts)))


def test_paths_of_texts_that_nothing_follows_are_let_go() -> None:
    """128 short texts behind a long one would hold its keys 128 times."""
    shared = tuple(range(3, 203))
    texts = [(*shared, 210 + n) for n in range(40)]
    _, last = list(TextTree(texts).pieces(200, torch.device("cpu")))[:2]
    assert last.start == 200
    assert len(last.tree.trunks) == 40
    key = torch.zeros(1, 2, last.tree.ids.shape[1], 4)
    before = (torch.zeros(1, 2, 200, 4), torch.zeros(1, 2, 200, 4))
    held: list[weakref.ref[torch.Tensor]] = []
    most = 0
    whole = torch.cat

    def cat(parts: Any, *dimensions: int) -> torch.Tensor:
        nonlocal most
        made = whole(parts, *dimensions)
        held.append(weakref.ref(made))
        most = max(most, sum(one() is not None for one in held))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "cat", cat)
        attend(key, key, key, last.tree, before=before)
    assert most < 10


ROPES: dict[str, dict[str, Any]] = {
    # Phi-3's and Phi-4-mini's make: other frequencies for a text longer than the model was first trained on.
    "longrope": {
        "original_max_position_embeddings": 64,
        "short_factor": [1.0] * 8,
        "long_factor": [4.0 + n for n in range(8)],
    },
    "dynamic": {},
}


@pytest.mark.parametrize("kind", ROPES)
@pytest.mark.parametrize("tokens", [40, 1000])
@pytest.mark.parametrize("reader", [TreeRunner, AlignedRunner])
def test_texts_that_change_how_positions_are_read_are_read_by_themselves(
    reader: type[TreeRunner | AlignedRunner], kind: str, tokens: int
) -> None:
    rope = {"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0, **ROPES[kind]}
    model = family_model(
        "llama 3", VOCABULARY, rope_parameters=rope, max_position_embeddings=64 if kind == "dynamic" else 256
    )
    rng = random.Random(0)
    shared = tuple(rng.randrange(3, VOCABULARY) for _ in range(50))
    prompts = [Prompt(shared, tuple(rng.randrange(3, VOCABULARY) for _ in range(n)), ()) for n in (5, 40, 9, 90)]
    plain = []
    for prompt in prompts:
        # The last long text's frequencies stay until a short one comes.
        with torch.no_grad():
            model(torch.tensor([[5]]))
            plain.append(model(torch.tensor([prompt.ids])).logits[0, -1])
    budget = Budget(tokens, 2**28)
    with torch.no_grad():
        model(torch.tensor([[5]]))
    runner = reader(model)
    with torch.no_grad():
        # Long texts are read from their start, whatever has been read.
        begun = (runner.beginning(shared[:40]),) if isinstance(runner, TreeRunner) else ()
        read = runner.logits(prompts, budget, (), *begun)
        found = [pair for places, rows in read for pair in zip(places, rows, strict=True)]
    assert sorted(place for place, _ in found) == [*range(len(prompts))]
    for place, own in found:
        assert float((own - plain[place]).abs().max() / plain[place].abs().max()) < ERROR
    for places in runner.cut(prompts, budget, 1):
        with torch.no_grad():
            model(torch.tensor([[5]]))
            batch = runner.start([prompts[place] for place in places], budget, 1)
        for place, own_logits in zip(places, batch.logits, strict=True):
            assert float((own_logits - plain[place]).abs().max() / plain[place].abs().max()) < ERROR
    # Those that may get too long while they are written are written by themselves too.
    assert [2] in list(runner.cut(prompts, budget, 6))
    assert [2] not in list(runner.cut(prompts, budget, 1))
