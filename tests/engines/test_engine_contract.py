"""What every engine promises, on one set of tests: transformers, and vLLM where it is installed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from interank import judging
from interank.engines.models import find_model, load_model
from interank.engines.prompts import Prompt
from interank.engines.protocol import Engine, Sampling
from interank.engines.transformers import TransformersEngine
from tests.support.tiny import strong_model

# vLLM and what it imports warn of their own and of torch's old ways.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LABELS = (40, 41, 42)
# Different kernels add in different orders.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vLLM's kernels for CPUs want heads of 32 at the least."""
    return strong_model(tmp_path_factory.mktemp("models") / "strong", hidden=128)


@pytest.fixture(scope="module")
def plain(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def engine(request: pytest.FixtureRequest, folder: Path) -> Iterator[Engine]:
    if request.param == "transformers":
        yield TransformersEngine(load_model(find_model(str(folder))))
        return
    from interank.engines.vllm import VllmEngine, VllmOptions
    from tests.support.servers import small_vllm

    with small_vllm():
        yield VllmEngine(folder, VllmOptions(max_length=256))


def prompts_of(seed: int, number: int) -> list[Prompt]:
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 400) for _ in range(rng.randint(low, high)))

    prefixes = [ids(1, 20) for _ in range(2)]
    return [Prompt(rng.choice(prefixes), ids(0, 30), ids(1, 5)) for _ in range(number)]


def whole(plain: torch.nn.Module, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        return plain(torch.tensor([ids])).logits[0].float()


def greedy(plain: torch.nn.Module, prompt: Prompt, length: int, end: int) -> tuple[list[int], bool]:
    ids: list[int] = []
    for _ in range(length):
        token = int(whole(plain, (*prompt.ids, *ids))[-1].argmax())
        if token == end:
            return ids, True
        ids.append(token)
    return ids, False


def test_greedy_tokens_are_a_plain_forward_pass_s(engine: Engine, plain: torch.nn.Module) -> None:
    prompts = prompts_of(11, 8)
    for prompt, completion in zip(prompts, engine.generate(prompts, Sampling(10), end=2), strict=True):
        assert (list(completion.ids), completion.finished) == greedy(plain, prompt, 10, 2)


def test_labels_are_read_whatever_their_rank(engine: Engine, plain: torch.nn.Module) -> None:
    prompts = prompts_of(3, 9)
    ranks = []
    for prompt, labels in zip(prompts, engine.label_logits(prompts, LABELS), strict=True):
        last = whole(plain, prompt.ids)[-1]
        expected = [float(last[label]) for label in LABELS]
        # Up to a constant: what scores and probabilities are made of.
        assert judging.probabilities(labels.logits) == pytest.approx(judging.probabilities(expected), abs=TOLERANCE)
        assert judging.score(labels.logits) == pytest.approx(judging.score(expected), abs=2e-3)
        assert labels.mass == pytest.approx(float(last.softmax(-1)[list(LABELS)].sum()), abs=TOLERANCE)
        ranks += [int((last > last[label]).sum()) for label in LABELS]
    assert max(ranks) > 20, "the labels were all among the first twenty, where any engine tells them"


def test_results_are_in_the_order_of_the_prompts(engine: Engine) -> None:
    prompts = prompts_of(7, 12)
    together = engine.label_logits(prompts, LABELS)
    backwards = engine.label_logits(prompts[::-1], LABELS)[::-1]
    for one, two in zip(together, backwards, strict=True):
        assert one.logits == pytest.approx(two.logits, abs=2e-3)
    written = [item.ids for item in engine.generate(prompts, Sampling(4), end=2)]
    assert written == [item.ids for item in engine.generate(prompts[::-1], Sampling(4), end=2)[::-1]]
    assert len(set(written)) > 1


def test_sampling_repeats_by_seed(engine: Engine) -> None:
    prompts = prompts_of(5, 4)
    first = [item.ids for item in engine.generate(prompts, Sampling(8, temperature=0.9, seed=1), end=2)]
    assert first == [item.ids for item in engine.generate(prompts, Sampling(8, temperature=0.9, seed=1), end=2)]
    assert first != [item.ids for item in engine.generate(prompts, Sampling(8, temperature=0.9, seed=2), end=2)]


def test_equal_prompts_are_sampled_apart(engine: Engine) -> None:
    prompt = prompts_of(5, 1)[0]
    drawn = engine.generate([prompt] * 8, Sampling(6, temperature=1.5, seed=3), end=2)
    assert len({item.ids for item in drawn}) > 1


def test_more_prompts_than_are_read_at_once_are_sampled(engine: Engine) -> None:
    prompts = prompts_of(12, 400)
    assert sum(len(prompt.ids) for prompt in prompts) > 8_192
    drawn = engine.generate(prompts, Sampling(2, temperature=0.9, seed=1), end=2)
    assert all(len(item.ids) == 2 or item.finished for item in drawn)
    assert len({item.ids for item in drawn}) > 200


def test_log_probabilities_are_those_at_the_temperature(engine: Engine, plain: torch.nn.Module) -> None:
    prompts = prompts_of(6, 4)
    told = 0
    for prompt, item in zip(
        prompts, engine.generate(prompts, Sampling(6, temperature=0.7, seed=1), end=2), strict=True
    ):
        logprobs = (whole(plain, (*prompt.ids, *item.ids)) / 0.7).log_softmax(-1)
        start = len(prompt.ids) - 1
        expected = [float(logprobs[start + place, token]) for place, token in enumerate(item.ids)]
        assert item.logprobs == pytest.approx(expected, abs=2e-3)
        assert item.end_logprob is None
        # By itself, and the same again ended at its third token.
        [alone] = engine.generate([prompt], Sampling(6, temperature=0.7, seed=1), end=2)
        if len(alone.ids) > 2:
            place = alone.ids.index(alone.ids[2])
            [ended] = engine.generate([prompt], Sampling(6, temperature=0.7, seed=1), end=alone.ids[2])
            assert ended.ids == alone.ids[:place]
            assert ended.end_logprob == pytest.approx(alone.logprobs[place], abs=2e-3)
            told += 1
    assert told


def test_an_answer_ends_at_its_end_and_nowhere_else(engine: Engine, plain: torch.nn.Module) -> None:
    prompt = prompts_of(2, 1)[0]
    ids, _ = greedy(plain, prompt, 6, -1)
    at_once = engine.generate([prompt], Sampling(9), end=ids[0])[0]
    assert (at_once.ids, at_once.logprobs, at_once.finished) == ((), (), True)
    other = next(token for token in range(3, 400) if token not in ids)
    cut = engine.generate([prompt], Sampling(6), end=other)[0]
    assert (list(cut.ids), cut.finished, len(cut.logprobs)) == (ids, False, 6)


def test_no_prompts_give_no_results(engine: Engine) -> None:
    assert engine.generate([], Sampling(3), end=2) == []
    assert engine.label_logits([], LABELS) == []


def test_vllm_takes_no_more_of_a_cpu_s_memory_than_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    from interank.engines.vllm import memory_share

    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(total=100, available=50))
    assert memory_share(0.9) == pytest.approx(0.4)
    assert memory_share(0.3) == 0.3
