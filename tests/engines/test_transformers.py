"""The engine's shared prefixes, paddings and batches change nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Sampling
from interank.engines.transformers import TransformersEngine
from interank.settings import PromptSettings

LABELS = (40, 41, 42)


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> TransformersEngine:
    model = load_model(find_model(str(tiny_folder))).to("cpu").float()
    torch.manual_seed(0)
    for parameter in model.parameters():
        # A fresh model's logits hardly differ; stronger weights make a mistake visible.
        parameter.data += torch.randn_like(parameter) * 0.2
    return TransformersEngine(model)


def prompts_of(seed: int, number: int) -> list[Prompt]:
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 400) for _ in range(rng.randint(low, high)))

    prefixes = [ids(1, 20) for _ in range(2)]
    return [Prompt(rng.choice(prefixes), ids(0, 30), ids(1, 5)) for _ in range(number)]


def plain_logits(engine: TransformersEngine, prompt: Prompt) -> list[float]:
    with torch.no_grad():
        logits = engine.model(torch.tensor([prompt.ids])).logits[0, -1, list(LABELS)]
    return [float(value) for value in logits]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(1, 9))
def test_label_logits_equal_a_plain_forward_pass(engine: TransformersEngine, seed: int, number: int) -> None:
    prompts = prompts_of(seed, number)
    for prompt, labels in zip(prompts, engine.label_logits(prompts, LABELS), strict=True):
        assert labels.logits == pytest.approx(plain_logits(engine, prompt), rel=1e-5, abs=1e-5)


def test_label_logits_do_not_depend_on_batch_or_order(engine: TransformersEngine) -> None:
    prompts = prompts_of(7, 60)
    together = engine.label_logits(prompts, LABELS)
    alone = [engine.label_logits([prompt], LABELS)[0] for prompt in prompts]
    backwards = engine.label_logits(prompts[::-1], LABELS)[::-1]
    for one, two, three in zip(together, alone, backwards, strict=True):
        assert one.logits == pytest.approx(two.logits, rel=1e-5, abs=1e-5)
        assert one.logits == pytest.approx(three.logits, rel=1e-5, abs=1e-5)


def test_the_labels_mass_is_their_share_of_the_vocabulary(engine: TransformersEngine) -> None:
    prompt = prompts_of(3, 1)[0]
    with torch.no_grad():
        whole = engine.model(torch.tensor([prompt.ids])).logits[0, -1].softmax(-1)
    assert engine.label_logits([prompt], LABELS)[0].mass == pytest.approx(float(whole[list(LABELS)].sum()), rel=1e-4)


def test_greedy_generation_equals_that_of_transformers(engine: TransformersEngine) -> None:
    prompts = prompts_of(11, 8)
    mine = engine.generate(prompts, Sampling(12), end=2)
    for prompt, completion in zip(prompts, mine, strict=True):
        ids = torch.tensor([prompt.ids])
        theirs = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=2, pad_token_id=2
        )[0, len(prompt.ids) :].tolist()
        expected = theirs[: theirs.index(2)] if 2 in theirs else theirs
        assert list(completion.ids) == expected
        assert completion.finished == (2 in theirs)


def test_sampling_repeats_by_seed_and_tells_its_log_probabilities(engine: TransformersEngine) -> None:
    prompts = prompts_of(5, 4)
    first = engine.generate(prompts, Sampling(6, temperature=0.7, seed=1), end=2)
    assert first == engine.generate(prompts, Sampling(6, temperature=0.7, seed=1), end=2)
    assert first != engine.generate(prompts, Sampling(6, temperature=0.7, seed=2), end=2)
    for prompt, completion in zip(prompts, first, strict=True):
        ids = [*prompt.ids, *completion.ids]
        with torch.no_grad():
            logprobs = (engine.model(torch.tensor([ids])).logits[0].float() / 0.7).log_softmax(-1)
        start = len(prompt.ids) - 1
        expected = [float(logprobs[start + i, token]) for i, token in enumerate(completion.ids)]
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_generation_stops_at_the_end_of_turn(engine: TransformersEngine) -> None:
    prompt = prompts_of(2, 1)[0]
    first = engine.generate([prompt], Sampling(1), end=2)[0].ids[0]
    stopped = engine.generate([prompt], Sampling(9), end=first)[0]
    assert (stopped.ids, stopped.finished) == ((), True)


def test_a_prompt_of_an_encoder_is_read_as_one_text(engine: TransformersEngine, tiny_folder: Path) -> None:
    from interank.types import Document, Query

    settings_ = PromptSettings(max_length=300, max_query_tokens=40, max_document_tokens=60)
    encoder = PromptEncoder(load_tokenizer(find_model(str(tiny_folder))), settings_)
    prompt = encoder.prompt(Query("q", "Where is the red fox?"), Document("d", "A fox."), answer_tokens=8)
    forced = prompt.then(encoder.label_lead)
    with torch.no_grad():
        logits = engine.model(torch.tensor([forced.ids])).logits[0, -1, list(encoder.label_ids)]
    read = engine.label_logits([forced], encoder.label_ids)[0].logits
    assert read == pytest.approx([float(value) for value in logits], rel=1e-5, abs=1e-5)
