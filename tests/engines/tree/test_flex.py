"""Attention along any tree by FlexAttention is that by a call for each piece, and its mask is the tree's."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from interank.engines.budget import Budget
from interank.engines.layers import allowed
from interank.engines.prompts import Prompt
from interank.engines.tree import attention, flex
from interank.engines.tree.attention import attend, hidden_states, let_follow_trees, shared_prefix_attention
from interank.engines.tree.flex import Heads, TreeForward, attend_at_once, why_not
from interank.engines.tree.intervals import BLOCK, block_mask, bucket
from interank.engines.tree.pieces import TextTree
from interank.engines.tree.prefix_tree import ROOT, Ids, PrefixTree, plant, plant_sequences
from interank.engines.tree.runner import TreeRunner
from tests.support.families import family_model

CPU = torch.device("cpu")
# Not compiled it is a few matrix products on a CPU, which is what is wanted here.
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
Plant = Callable[[Sequence[tuple[Ids, Ids]], int, torch.device], PrefixTree]


def branches(draw: random.Random, depth: int, most: int) -> Iterator[Ids]:
    """Texts that share beginnings: pieces of 1 to `most` tokens, of which each goes on in up to three ways or ends."""
    own = tuple(draw.randrange(10, 290) for _ in range(draw.randint(1, most)))
    ways = draw.randint(1, 3) if depth else 0
    if not ways or draw.random() < 0.3:
        yield own
    for _ in range(ways):
        for rest in branches(draw, depth - 1, most):
            yield own + rest


def rows_of(seed: int, most: int = 90) -> list[tuple[Ids, Ids]]:
    """Prompts of a random tree, some of them twice, with random completions, some of them none."""
    draw = random.Random(seed)
    texts = [text for _ in range(draw.randint(1, 3)) for text in branches(draw, 2, most)]
    texts += draw.choices(texts, k=len(texts))
    return [(text, tuple(draw.randrange(10, 290) for _ in range(draw.randint(0, 9)))) for text in texts] + [
        ((5,), (6,))
    ]


def path_mask(tree: PrefixTree, window: int | None = None) -> torch.Tensor:
    """Who sees whom, by walking up from every piece: (queries, keys)."""
    tokens = tree.ids.shape[1]
    sees = torch.zeros(tokens, tokens, dtype=torch.bool)
    pieces = [(trunk.start, trunk.end, trunk.parent) for trunk in tree.trunks]
    pieces += [(start, end, leaves.parent) for leaves in tree.leaves for start, end in leaves.spans]
    for start, end, parent in pieces:
        sees[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        while parent != ROOT:
            above = tree.trunks[parent]
            sees[start:end, above.start : above.end] = True
            parent = above.parent
    if window is not None:
        at = tree.positions[0]
        sees &= at[:, None] - at < window
    return sees


def states_of(tree: PrefixTree, heads: Heads, seed: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    shapes = [(1, number, tree.ids.shape[1], heads.size) for number in (heads.queries, heads.keys, heads.keys)]
    return [torch.randn(shape, dtype=heads.dtype) for shape in shapes]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([plant, plant_sequences]), st.sampled_from([None, 20, 150]))
def test_the_mask_is_the_tree_s(seed: int, planted: Plant, window: int | None) -> None:
    tree = planted(rows_of(seed), 9, CPU)
    tokens = tree.ids.shape[1]
    mask = block_mask(tree, window)
    length = mask.seq_lengths[0]
    dense = create_mask(mask.mask_mod, 1, 1, length, length, device="cpu")[0, 0]
    assert torch.equal(dense[:tokens, :tokens], path_mask(tree, window))
    # What was added to fill the bucket sees itself and is seen by nothing else.
    assert torch.equal(dense[tokens:], torch.eye(length, dtype=torch.bool)[tokens:])
    assert not dense[:tokens, tokens:].any()
    # Blocks that are left out hold nothing that is seen, whole ones nothing else.
    blocks = dense.view(length // BLOCK, BLOCK, length // BLOCK, BLOCK).transpose(1, 2).flatten(2)
    partly, whole = listed(mask.kv_num_blocks, mask.kv_indices), listed(mask.full_kv_num_blocks, mask.full_kv_indices)
    assert torch.equal(whole, blocks.all(-1))
    assert not (partly & whole).any()
    assert torch.equal(partly | whole, blocks.any(-1)) or window is not None
    assert not (blocks.any(-1) & ~(partly | whole)).any()


def listed(counts: Any, places: Any) -> torch.Tensor:
    """The chosen blocks as a matrix."""
    found = torch.zeros(places.shape[-2:], dtype=torch.bool)
    for row, count in enumerate(counts[0, 0].tolist()):
        found[row, places[0, 0, row, :count].long()] = True
    return found


def test_blocks_are_those_that_torch_finds() -> None:
    tree = plant_sequences(rows_of(7, most=300), 9, CPU)
    mask = block_mask(tree)
    length = mask.seq_lengths[0]
    theirs = create_block_mask(mask.mask_mod, 1, 1, length, length, device="cpu")
    assert length >= 8 * BLOCK
    assert torch.equal(mask.to_dense(), theirs.to_dense())
    assert torch.equal(
        listed(mask.full_kv_num_blocks, mask.full_kv_indices),
        listed(theirs.full_kv_num_blocks, theirs.full_kv_indices),
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([plant, plant_sequences]), st.sampled_from([None, 40]))
@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (6, 2)])
def test_one_call_gives_what_calls_for_each_piece_give(
    queries: int, keys: int, seed: int, planted: Plant, window: int | None
) -> None:
    tree = planted(rows_of(seed, most=60), 9, CPU)
    heads = Heads(queries, keys, 16, torch.float32)
    query, key, value = states_of(tree, heads, seed)
    with torch.no_grad():
        expected = attend(query, key, value, tree, window=window, scale=0.2)
        found = attend_at_once(query, key, value, block_mask(tree, window), 0.2)
    assert found.shape == expected.shape == (1, tree.ids.shape[1], queries, 16)
    assert torch.allclose(found, expected, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([plant, plant_sequences]), st.sampled_from([None, 40]))
def test_gradients_through_the_mask_are_those_of_calls_for_each_piece(
    seed: int, planted: Plant, window: int | None
) -> None:
    tree = planted(rows_of(seed, most=60), 9, CPU)
    states = [item.requires_grad_() for item in states_of(tree, Heads(6, 2, 16, torch.float32), seed)]
    places = torch.arange(tree.ids.shape[1])
    sees = block_mask(tree, window).mask_mod(places, places, places[:, None], places)
    dense = scaled_dot_product_attention(states[0], states[1], states[2], attn_mask=sees, enable_gqa=True)
    ours = attend(states[0], states[1], states[2], tree, window=window)
    assert torch.allclose(ours, dense.transpose(1, 2), atol=1e-5)
    weights = torch.randn_like(ours)
    pairs = zip(
        torch.autograd.grad((ours * weights).sum(), states),
        torch.autograd.grad((dense.transpose(1, 2) * weights).sum(), states),
        strict=True,
    )
    assert all(torch.allclose(found, expected, atol=2e-5) for found, expected in pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 400), st.sampled_from([None, 40, 150]))
def test_one_call_on_a_piece_and_the_path_before_it_gives_what_the_whole_tree_gives(
    seed: int, tokens: int, window: int | None
) -> None:
    planted = TextTree(prompt for prompt, _ in rows_of(seed))
    (whole,) = planted.pieces(10**6, CPU)
    query, key, value = states_of(whole.tree, Heads(6, 2, 16, torch.float32), seed)
    sees = path_mask(whole.tree, window)
    with torch.no_grad():
        dense = scaled_dot_product_attention(query, key, value, attn_mask=sees, enable_gqa=True).transpose(1, 2)
    path = torch.empty(0, dtype=torch.long)
    for piece in planted.pieces(tokens, CPU):
        places = torch.arange(piece.start, piece.start + piece.tree.ids.shape[1])
        own, before = [item[:, :, places] for item in (query, key, value)], (key[:, :, path], value[:, :, path])
        mask = block_mask(piece.tree, window)
        with torch.no_grad():
            found = attend_at_once(own[0], own[1], own[2], mask, None, before)
            by_piece = attend(own[0], own[1], own[2], piece.tree, before=before, window=window)
        assert torch.allclose(found, dense[:, places], atol=1e-5)
        assert torch.allclose(by_piece, dense[:, places], atol=1e-5)
        # Blocks that are left out hold nothing that is seen, whole ones nothing else.
        length, start = mask.seq_lengths[0], mask.seq_lengths[1] - mask.seq_lengths[0]
        visible = create_mask(mask.mask_mod, 1, 1, length, start + length, device="cpu")[0, 0]
        blocks = visible.view(length // BLOCK, BLOCK, -1, BLOCK).transpose(1, 2).flatten(2)
        partly, wholly = (
            listed(mask.kv_num_blocks, mask.kv_indices),
            listed(mask.full_kv_num_blocks, mask.full_kv_indices),
        )
        assert torch.equal(wholly, blocks.all(-1))
        assert not (blocks.any(-1) & ~(partly | wholly)).any()
        assert not visible[:, len(path) : start].any()
        path = torch.cat([path[: piece.stays], *(places[join] for join in piece.joins)])


@pytest.mark.parametrize("family", ["llama 3", "qwen3", "gemma3"])
def test_prompts_that_are_read_in_pieces_at_once_have_the_logits_of_a_plain_pass(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.deepcopy(family_model(family, 300))
    prompts = [Prompt((), prompt, ()) for prompt, _ in rows_of(5, most=120)]
    with torch.no_grad():
        plain = [model(torch.tensor([prompt.ids])).logits[0, -1] for prompt in prompts]
    monkeypatch.setattr(flex, "why_not", lambda device, heads: "")
    calls = []

    def counted(*states: Any) -> torch.Tensor:
        calls.append(states[-1])
        return attend_at_once(*states)

    monkeypatch.setattr(attention, "attend_at_once", counted)
    runner, budget, longest = TreeRunner(model), Budget(90, 2**28), max(len(prompt.ids) for prompt in prompts)
    with torch.no_grad():
        found = [pair for places, rows in runner.logits(prompts, budget, ()) for pair in zip(places, rows, strict=True)]
        if written := allowed(model.config).padding:
            found += enumerate(runner.start(prompts, budget, 1).logits)
    assert longest > 180
    assert sum(before is not None for before in calls) > 4 * len(model.model.layers)
    assert sorted(place for place, _ in found) == sorted([*range(len(prompts))] * (2 if written else 1))
    for place, row in found:
        assert float((row - plain[place]).abs().max() / plain[place].abs().max()) < 1e-5


def test_half_precision_stays_what_it_is_and_autocast_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant(rows_of(3), 9, CPU)
    exact = states_of(tree, Heads(6, 2, 16, torch.float32), 3)
    mask, given = block_mask(tree), []

    def told(*states: torch.Tensor, **options: Any) -> Any:
        given.append({item.dtype for item in states})
        return flex_attention(*states, **options)

    monkeypatch.setattr(flex, "flex_attention", told)
    with torch.no_grad():
        expected = attend_at_once(exact[0], exact[1], exact[2], mask, None)
        half = [item.bfloat16() for item in exact]
        rounded = attend_at_once(half[0], half[1], half[2], mask, None)
        with torch.autocast("cpu", torch.bfloat16):
            # What a norm in float32 and a product in bfloat16 give.
            mixed = attend_at_once(exact[0], half[1], half[2], mask, None)
    assert given == [{torch.float32}, {torch.bfloat16}, {torch.bfloat16}]
    assert rounded.dtype == mixed.dtype == torch.bfloat16
    assert torch.equal(rounded, mixed)
    assert torch.allclose(rounded.float(), expected, atol=0.05)


@pytest.mark.parametrize("family", ["llama 3", "qwen3", "mistral", "gemma3"])
def test_a_model_that_follows_a_tree_at_once_gives_the_same_states(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.deepcopy(family_model(family, 300))
    let_follow_trees(model)
    tree = plant(rows_of(11, most=50), 9, CPU)
    with torch.no_grad():
        expected = hidden_states(model, tree)
        masks: list[int | None] = []
        made = flex.block_mask

        def counted(tree: PrefixTree, window: int | None) -> Any:
            masks.append(window)
            return made(tree, window)

        monkeypatch.setattr(flex, "block_mask", counted)
        monkeypatch.setattr(flex, "why_not", lambda device, heads: "")
        found = hidden_states(model, tree)
    assert torch.allclose(found, expected, atol=1e-5)
    # Once a forward pass and window, not once a layer.
    assert len(masks) == len(set(masks)) == (2 if family == "gemma3" else 1)


def test_lengths_of_a_bucket_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(flex, "flex_attention", torch.compile(flex_attention, backend=counter, dynamic=False))
    for length in (390, 400, 450, 512, 520):
        tree = plant_sequences([(tuple(range(10, 10 + length)), (1, 2))], 2, CPU)
        states = states_of(tree, Heads(4, 2, 16, torch.float32), 0)
        with torch.no_grad():
            attend_at_once(states[0], states[1], states[2], block_mask(tree), None)
    assert counter.frame_count == 2
    torch._dynamo.reset()


def test_buckets_are_few_and_waste_at_most_a_half() -> None:
    lengths = {bucket(tokens) for tokens in range(1, 16 * 1024 + 1)}
    assert len(lengths) == 14
    assert all(tokens <= bucket(tokens) < max(1.5 * tokens, tokens + BLOCK) + BLOCK for tokens in range(1, 16 * 1024))
    assert all(bucket(length) == length and length % BLOCK == 0 for length in lengths)


HEADS = Heads(4, 2, 16, torch.float32)


def test_a_cpu_has_a_call_for_each_piece_and_the_log_says_so_once_where_gradients_are_wanted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flex._tell.cache_clear()
    assert "no gradients on cpu" in why_not(CPU, HEADS)
    model, tree = family_model("llama 3", 300), plant(rows_of(1), 9, CPU)
    with caplog.at_level(logging.INFO):
        for unwanted in (torch.no_grad(), torch.inference_mode()):
            with unwanted:
                assert not flex.followed(model, tree).at_once
        assert not caplog.records
        assert not flex.followed(model, tree).at_once
        flex.followed(model, tree)
    assert len(caplog.records) == 1
    assert "no gradients on cpu" in caplog.text


def test_old_gpus_and_small_heads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "7.5" in flex._lacking(torch.device("cuda", 0), HEADS)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "triton" in flex._lacking(torch.device("cuda", 0), HEADS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert "heads of 8" in flex._lacking(torch.device("cuda", 0), Heads(4, 2, 8, torch.float32))
    assert not flex._lacking(torch.device("cuda", 0), HEADS)


def test_what_cannot_be_compiled_or_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a CPU torch itself refuses, as it would on a GPU whose kernels cannot be built.
    assert "does not support backward" in flex._failing(CPU, HEADS)

    def plainly(*states: Any, causal: bool = False, path: bool = True) -> torch.Tensor:
        query, key, value, mask, scale, *before = states
        places = torch.arange(query.shape[2])
        sees = mask.mask_mod(places, places, places[:, None], places)
        sees = places[:, None] >= places if causal else sees
        if before:
            start = mask.seq_lengths[1] - mask.seq_lengths[0]
            length = before[0][0].shape[2]
            read = torch.arange(length) + (0 if path else start)
            sees = torch.cat(
                [
                    mask.mask_mod(places, places, places[:, None], read),
                    mask.mask_mod(places, places, places[:, None], places + start),
                ],
                1,
            )
            key, value = (torch.cat([old, own], 2) for old, own in zip(before[0], (key, value), strict=True))
        found = scaled_dot_product_attention(query, key, value, attn_mask=sees, scale=scale, enable_gqa=True)
        return found.transpose(1, 2)

    for dtype in (torch.float32, torch.bfloat16):
        heads = Heads(6, 2, 64, dtype)
        monkeypatch.setattr(flex, "attend_at_once", plainly)
        assert not flex._failing(CPU, heads)
        monkeypatch.setattr(flex, "attend_at_once", lambda *states: plainly(*states, causal=True))
        assert "off by" in flex._failing(CPU, heads)
        monkeypatch.setattr(flex, "attend_at_once", lambda *states: plainly(*states, path=False))
        assert "off by" in flex._failing(CPU, heads)


def test_dropout_of_attention_is_left_to_the_calls_for_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(family_model("llama 3", 300))
    let_follow_trees(model)
    tree = plant(rows_of(2), 9, CPU)
    module, states = model.model.layers[0].self_attn, states_of(tree, Heads(4, 2, 16, torch.float32), 0)
    once = TreeForward(tree, at_once=True)
    torch.manual_seed(0)
    found, _ = shared_prefix_attention(module, *states, None, tree=once, dropout=0.5)
    torch.manual_seed(0)
    expected = attend(states[0], states[1], states[2], tree, dropout_p=0.5)
    assert torch.equal(found, expected)
