"""Packs, shared prefixes, released rows and memory limits change no number, for each family and either runner."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from interank import judging
from interank.engines.budget import Budget
from interank.engines.dense import fits
from interank.engines.drawing import Draw
from interank.engines.packing import PackedRunner
from interank.engines.prompts import Prompt
from interank.engines.protocol import Completion, ForcedLabels, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.tree import pieces
from interank.engines.tree.runner import TreeRunner
from interank.errors import InputError

LABELS = (40, 41, 42)
# A model type, and what sets it apart: biases, norms of heads, a head size of its own, one key head, other positions.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 1}),
    "llama 3": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "mistral": ("mistral", {"sliding_window": None, "head_dim": 24}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 24}),
}


def model_of(family: str, **more: Any) -> Any:
    kind, special = FAMILIES[family]
    shape = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(shape | special | more))).eval()
    for parameter in model.parameters():
        # A fresh model's logits hardly differ; stronger weights make a mistake visible.
        parameter.data += torch.randn_like(parameter) * 0.1
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of("llama")


def runner_of(model: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> TransformersEngine:
    if kind == "rows":
        monkeypatch.setattr("interank.engines.transformers.fits", lambda _: False)
    engine = TransformersEngine(model)
    assert isinstance(engine._writer, PackedRunner if kind == "packed" else TreeRunner)
    return engine


def prompts_of(seed: int, number: int, *, prefixes: int = 2, longest: int = 60) -> list[Prompt]:
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 400) for _ in range(rng.randint(low, high)))

    shared = [ids(1, 40) for _ in range(prefixes)]
    return [Prompt(rng.choice(shared), ids(0, longest), ids(1, 5)) for _ in range(number)]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gives_transformers_own_logits(family: str) -> None:
    model = model_of(family)
    assert fits(model)
    engine = TransformersEngine(model)
    # Longer than a block of queries.
    prompts = [*prompts_of(1, 6, prefixes=1, longest=300), *prompts_of(2, 3, prefixes=3)]
    for prompt, found in zip(prompts, engine.label_logits(prompts, LABELS), strict=True):
        with torch.no_grad():
            plain = model(torch.tensor([prompt.ids])).logits[0, -1, list(LABELS)].tolist()
        assert found.logits == pytest.approx(plain, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_writes_what_generate_writes(family: str) -> None:
    model = model_of(family)
    prompts = prompts_of(3, 5)
    for prompt, completion in zip(
        prompts, TransformersEngine(model).generate(prompts, Sampling(10), end=-1), strict=True
    ):
        ids = torch.tensor([prompt.ids])
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=10,
            min_new_tokens=10,
            do_sample=False,
            pad_token_id=0,
        )
        # min_new_tokens forbids the end, which these models do not choose anyhow.
        assert list(completion.ids) == theirs[0, len(prompt.ids) :].tolist()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), piece=st.integers(1, 600), ends=st.integers(1, 8), shuffle=st.randoms())
def test_scores_of_a_batch_of_100_are_those_one_by_one(
    model: Any, seed: int, piece: int, ends: int, shuffle: random.Random
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        engine = TransformersEngine(model)
        prompts = prompts_of(seed, 100, prefixes=3, longest=25)
        one_by_one = [engine.label_logits([prompt], LABELS)[0] for prompt in prompts]
        monkeypatch.setattr(pieces, "_MOST_ENDS", ends)
        engine.budget = Budget(piece, keys=2**30)
        order = list(range(100))
        shuffle.shuffle(order)
        together = engine.label_logits([prompts[place] for place in order], LABELS)
    for place, found in zip(order, together, strict=True):
        assert found.logits == pytest.approx(one_by_one[place].logits, rel=1e-5, abs=1e-5)
        # A score is a difference of logits, so it is as exact as these are large.
        size = max(1.0, *map(abs, found.logits))
        assert judging.score(found.logits) == pytest.approx(
            judging.score(one_by_one[place].logits), rel=1e-5, abs=1e-5 * size
        )
        assert found.mass == pytest.approx(one_by_one[place].mass, rel=1e-4)


@pytest.mark.parametrize("kind", ["packed", "rows"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_released_row_changes_no_other_one(
    model: Any, kind: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = runner_of(model, kind, monkeypatch)
    prompts = prompts_of(4, 9)
    sampling = Sampling(20, temperature, seed=5)
    whole = engine.generate(prompts, sampling, end=-1)
    # Ends that stop rows at different times, so that rows move in the batch.
    written = [index for completion in whole for index in completion.ids]
    ends = sorted(set(written), key=lambda index: (-sum(index in c.ids for c in whole), index))[:4]
    moved = False
    for end in ends:
        stopped = engine.generate(prompts, sampling, end=end)
        for one, other in zip(stopped, whole, strict=True):
            until = other.ids.index(end) if end in other.ids else len(other.ids)
            assert one.ids == other.ids[:until]
            assert one.logprobs == pytest.approx(other.logprobs[:until], abs=1e-4)
            assert one.finished == (end in other.ids)
        moved |= 0 < sum(completion.finished for completion in stopped) < len(prompts)
    assert moved


def test_a_draw_is_torch_s_own_multinomial(model: Any) -> None:
    logits = torch.randn(5, 300)
    tokens, _ = Draw(5, 0.7, 3)(logits, range(5))
    theirs = torch.multinomial((logits / 0.7).softmax(-1), 1, generator=torch.Generator().manual_seed(3))
    assert tokens.tolist() == theirs[:, 0].tolist()


class OtherLinear(torch.nn.Linear):
    """Stands for a quantised layer."""


def _all_of_it(completion: Completion) -> tuple[int, ...]:
    return (*completion.ids, 7, 8)


def _some_of_it(completion: Completion) -> tuple[int, ...]:
    return (*completion.ids[:3], 9, 7, 8)


def _none_of_it(completion: Completion) -> tuple[int, ...]:
    return (9,)


@pytest.mark.parametrize("kind", ["packed", "rows"])
@pytest.mark.parametrize("continuation", [_all_of_it, _some_of_it, _none_of_it])
def test_grading_what_was_written_is_reading_it_anew(
    model: Any, kind: str, continuation: Callable[[Completion], tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = runner_of(model, kind, monkeypatch)
    prompts = prompts_of(8, 6)
    written = engine.generate(prompts, Sampling(9), end=-1)
    end = written[0].ids[4]
    written = engine.generate(prompts, Sampling(9), end=end)
    assert len({completion.finished for completion in written}) == 2
    graded = engine.generate_graded(prompts, Sampling(9), ForcedLabels(continuation, LABELS), end=end)
    assert [completion.ids for completion, _ in graded] == [completion.ids for completion in written]
    anew = engine.label_logits([p.then(continuation(c)) for p, c in zip(prompts, written, strict=True)], LABELS)
    for (_, one), other in zip(graded, anew, strict=True):
        assert one.logits == pytest.approx(other.logits, rel=1e-5, abs=1e-5)


def test_rounded_layers_come_near_and_mind_no_batch(model: Any) -> None:
    exact, rounded = TransformersEngine(model), TransformersEngine(model, precision="bfloat16")
    prompts = prompts_of(9, 30)
    logits = [list(found.logits) for found in rounded.label_logits(prompts, LABELS)]
    alone = [list(rounded.label_logits([prompt], LABELS)[0].logits) for prompt in prompts]
    plain = [list(found.logits) for found in exact.label_logits(prompts, LABELS)]
    spread = torch.tensor(plain).std()
    # A rounding may fall to the other side where float32 differs in its last digit.
    assert (torch.tensor(logits) - torch.tensor(alone)).abs().max() < 0.05 * spread
    assert 0 < (torch.tensor(logits) - torch.tensor(plain)).abs().mean() < 0.2 * spread


def test_bfloat16_layers_are_nearer_than_the_model_in_bfloat16(model: Any) -> None:
    prompts = prompts_of(9, 30)
    half = copy.deepcopy(model).to(torch.bfloat16)
    plain, ours, theirs = (
        torch.tensor([found.logits for found in engine.label_logits(prompts, LABELS)])
        for engine in (
            TransformersEngine(model),
            TransformersEngine(model, precision="bfloat16"),
            TransformersEngine(half),
        )
    )
    assert 0 < (ours - plain).abs().mean() < (theirs - plain).abs().mean()


def test_a_model_in_bfloat16_writes_nearly_what_the_exact_one_writes(model: Any) -> None:
    prompts = prompts_of(3, 12)
    exact, rounded = (
        TransformersEngine(model, precision=precision).generate(prompts, Sampling(6), end=-1)
        for precision in ("exact", "bfloat16")
    )
    assert sum(one.ids == other.ids for one, other in zip(exact, rounded, strict=True)) >= 9


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.to(torch.bfloat16),
        lambda m: setattr(m.config, "sliding_window", 8),
        lambda m: m.config.rope_parameters.update(rope_type="dynamic"),
        lambda m: setattr(m.model.layers[0].mlp, "up_proj", OtherLinear(64, 128)),
    ],
    ids=["bfloat16", "a sliding window", "positions that change", "another layer"],
)
def test_what_the_pack_cannot_run_is_written_otherwise_or_refused(change: Callable[[Any], object]) -> None:
    model = model_of("llama")
    change(model)
    with pytest.raises(InputError, match=r"bfloat16 .*Llama"):
        TransformersEngine(model, precision="bfloat16")
    assert not isinstance(TransformersEngine(model)._writer, PackedRunner)


def test_an_adapter_that_is_apart_writes_in_rows_of_the_cache(tiny_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model_of("llama"), LoraConfig(target_modules=["q_proj"]))
    assert isinstance(TransformersEngine(adapted)._writer, TreeRunner)
