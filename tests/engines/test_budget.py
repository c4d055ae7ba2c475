"""A batch holds no more keys and values than its budget, and no budget changes a result."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from transformers import cache_utils

from interank import machine
from interank.engines import budget as budgets
from interank.engines.alignment import AlignedRunner, state_bytes
from interank.engines.budget import Budget, budget_of, held, parts
from interank.engines.dense import DenseDecoder
from interank.engines.packing import PackedBatch, PackedRunner
from interank.engines.prompts import Prompt
from interank.engines.protocol import ForcedLabels, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.pieces import Path
from interank.engines.tree.runner import TreeRunner
from tests.support.families import family_model

VOCABULARY, LABELS, NEW = 300, (40, 41, 42), 5
AMPLE = Budget(4096, 2**30)
# A family for each way of running a model, and for each kind of layer that has its own way in a cache.
RUNNERS: dict[str, tuple[str, type]] = {
    "packed": ("llama 3", PackedRunner),
    "rows": ("llama 3", TreeRunner),
    "windows": ("gemma3", AlignedRunner),
    "states": ("qwen3.5", AlignedRunner),
}


class Counted:
    """The most bytes of keys, values and states that were alive at once, by their storages."""

    def __init__(self) -> None:
        self.most = 0
        self._layers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._states: list[weakref.ref[torch.Tensor]] = []

    def layer(self, layer: Any) -> None:
        self._layers.add(layer)
        self._sum()

    def tensors(self, states: list[torch.Tensor]) -> None:
        self._states += map(weakref.ref, states)
        self._sum()

    def _sum(self) -> None:
        alive = [states for found in self._states if (states := found()) is not None]
        for layer in self._layers:
            alive += [layer.keys, layer.values] if getattr(layer, "keys", None) is not None else []
            for name in ("conv_states", "recurrent_states"):
                alive += [states for states in getattr(layer, name, {}).values() if states is not None]
        storages = {states.untyped_storage()._cdata: states.untyped_storage().nbytes() for states in alive}
        self.most = max(self.most, sum(storages.values()))


@contextmanager
def counted() -> Iterator[Counted]:
    """Counts what transformers' caches and ours take from now on."""
    found = Counted()
    with pytest.MonkeyPatch.context() as patch:

        def watch(owner: type, name: str) -> None:
            own = getattr(owner, name)

            def update(self: Any, *args: Any, **kwargs: Any) -> Any:
                given = own(self, *args, **kwargs)
                found.layer(self)
                return given

            patch.setattr(owner, name, update)

        watch(cache_utils.DynamicLayer, "update")
        watch(cache_utils.DynamicSlidingWindowLayer, "update")
        watch(cache_utils.LinearAttentionCacheLayerMixin, "update_conv_state")
        watch(cache_utils.LinearAttentionCacheLayerMixin, "update_recurrent_state")
        keep, begin, take = DenseDecoder.keep, PackedBatch.__init__, Path.take

        def taken(self: Any, layer: int, *states: torch.Tensor) -> None:
            take(self, layer, *states)
            found.tensors(list(self._layers.get(layer, ())))

        patch.setattr(Path, "take", taken)

        def kept(self: Any, *args: Any) -> Any:
            given = keep(self, *args)
            found.tensors([states for layer in given.layers for states in layer])
            return given

        def begun(self: Any, *args: Any) -> None:
            begin(self, *args)
            found.tensors([*self._keys, *self._values])

        patch.setattr(DenseDecoder, "keep", kept)
        patch.setattr(PackedBatch, "__init__", begun)
        yield found


def engine_of(kind: str) -> TransformersEngine:
    family, runner = RUNNERS[kind]
    with pytest.MonkeyPatch.context() as patch:
        if kind == "rows":
            patch.setattr("interank.engines.transformers.fits", lambda _: False)
        found = TransformersEngine(family_model(family, VOCABULARY))
    assert type(found._writer) is runner
    return found


@pytest.fixture(scope="module", params=RUNNERS)
def engine(request: pytest.FixtureRequest) -> TransformersEngine:
    return engine_of(request.param)


def prompts_of(seed: int, number: int) -> list[Prompt]:
    """Prefixes that many, some and one prompt have; documents of none to many tokens; the same prompt twice."""
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(low, high)))

    prefixes = [ids(1, 60) for _ in range(rng.randint(1, 4))]
    found = [Prompt(rng.choice(prefixes), ids(0, 50), ids(0, 4)) for _ in range(number)]
    return [*found, Prompt(ids(20, 60), ids(0, 40), ids(1, 4)), found[0]]


def alone(engine: TransformersEngine, prompt: Prompt) -> int:
    """What a prompt takes that runs by itself: its prefix, the row into which that is copied, and what is written."""
    prefix, rest = map(len, parts(prompt))
    states = 0
    if isinstance(engine._writer, AlignedRunner):
        cache = cache_utils.DynamicCache(config=engine.model.config)
        engine._writer._forward(cache, [(5,)], 0, 1)
        states = state_bytes(cache)
    return held(engine.model).token * (2 * prefix + rest + NEW) + 2 * states


def answers(engine: TransformersEngine, prompts: list[Prompt], temperature: float) -> tuple[Any, ...]:
    asked = ForcedLabels(lambda completion: (*completion.ids[:2], 7), LABELS)
    sampling = Sampling(NEW, temperature, seed=3)
    read = engine.label_logits(prompts, LABELS)
    written = engine.generate(prompts, sampling, end=11)
    graded = engine.generate_graded(prompts, sampling, asked, end=11)
    return read, written, graded


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(1, 6),
    tokens=st.integers(4, 400),
    share=st.floats(0, 1),
    temperature=st.sampled_from([0.0, 1.0]),
)
def test_no_batch_holds_more_than_the_budget_and_no_budget_changes_a_result(
    engine: TransformersEngine, seed: int, number: int, tokens: int, share: float, temperature: float
) -> None:
    prompts = prompts_of(seed, number)
    engine.budget = AMPLE
    with torch.inference_mode():
        least = max(alone(engine, prompt) for prompt in prompts)
        whole = sum(alone(engine, prompt) for prompt in prompts)
    ample = answers(engine, prompts, temperature)
    engine.budget = Budget(tokens, int(whole * share))
    gc.collect()
    with counted() as found:
        tight = answers(engine, prompts, temperature)
    assert 0 < found.most <= max(engine.budget.keys, least)
    for one, other in zip(ample[0], tight[0], strict=True):
        assert other.logits == pytest.approx(one.logits, rel=1e-5, abs=2e-5)
        assert other.mass == pytest.approx(one.mass, rel=1e-4)
    for one, other in zip(ample[1], tight[1], strict=True):
        assert (other.ids, other.finished) == (one.ids, one.finished)
        assert other.logprobs == pytest.approx(one.logprobs, abs=1e-4)
    for (one, labels), (other, others) in zip(ample[2], tight[2], strict=True):
        assert other.ids == one.ids
        assert others.logits == pytest.approx(labels.logits, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("tokens", [1, 16, 50])
def test_what_is_only_read_holds_one_prompt_at_the_most(tokens: int) -> None:
    engine, prompts = engine_of("rows"), prompts_of(4, 12)
    engine.budget = Budget(tokens, keys=1)
    with counted() as found:
        engine.label_logits(prompts, LABELS)
    each = held(engine.model).token
    # While a layer's next path is made, its last one is there still.
    most = max(len(prompt.ids) for prompt in prompts) * each * (1 + 1 / engine.model.config.num_hidden_layers)
    assert 0 < found.most <= most


def test_without_a_bound_more_would_be_held(engine: TransformersEngine) -> None:
    """What the test before measures is what batches hold: ample budgets show more than tight ones do."""
    prompts = prompts_of(1, 9)
    most = []
    for keys in (AMPLE.keys, 1):
        engine.budget = Budget(400, keys)
        with counted() as found:
            answers(engine, prompts, 0.0)
        most.append(found.most)
    assert most[1] < most[0] / 2


@pytest.mark.parametrize("kind", RUNNERS)
def test_texts_go_through_the_layers_in_pieces(kind: str) -> None:
    engine, seen = engine_of(kind), list[int]()
    hook = engine.model.get_input_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].numel()))
    prompts = [Prompt(tuple(range(3, 103)), tuple(range(100, 170)), (5,)) for _ in range(3)]
    engine.budget = Budget(16, 2**30)
    engine.label_logits(prompts, LABELS)
    engine.generate(prompts, Sampling(3), end=-1)
    hook.remove()
    assert max(seen) <= 16


def test_where_nothing_is_free_texts_are_not_read_token_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "free_bytes", lambda _: 0)
    engine, seen = engine_of("rows"), list[int]()
    hook = engine.model.get_input_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].numel()))
    engine.label_logits([Prompt(tuple(range(3, 133)), (140 + number,) * 64, ()) for number in range(2)], LABELS)
    hook.remove()
    # The prefix and what follows it in each prompt, 258 tokens.
    assert seen == [64, 64, 64, 64, 2]


@pytest.mark.parametrize(("free", "keys"), [(3 * 10**9, 2**30), (40 * 10**9, 4 * 2**30)])
def test_what_is_free_bounds_a_batch(monkeypatch: pytest.MonkeyPatch, free: int, keys: int) -> None:
    monkeypatch.setattr(budgets, "free_bytes", lambda _: free)
    assert budget_of(family_model("llama 3", VOCABULARY)) == Budget(1024, keys)


def test_free_memory_is_that_of_the_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(machine, "_LIMIT", tmp_path / "memory.max")
    free = budgets.free_bytes(torch.device("cpu"))
    assert 10**8 < free < 2**50
    (tmp_path / "memory.max").write_text("max\n")
    assert abs(budgets.free_bytes(torch.device("cpu")) - free) < free / 2
    (tmp_path / "memory.max").write_text("1000\n")
    assert budgets.free_bytes(torch.device("cpu")) == 0
