"""Rollouts from vLLM: the adapter is handed over at every step, and sampler and trainer agree each time."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Adapting, Engine
from interank.errors import ModelError, TrainingError
from interank.settings import (
    LoraRecipe,
    PromptSettings,
    RolloutServersRecipe,
    RolloutsRecipe,
    RolloutVllmRecipe,
)
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from interank.training.adapters import fresh_adapter
from interank.training.checkpoints import last_complete
from interank.training.samplers import HandedOver, sampler_of
from tests.support import rule
from tests.support.grpo_training import train
from tests.support.servers import VllmServer, small_vllm
from tests.support.tiny import strong_model

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed; `make vllm` installs its build for CPUs",
    ),
    # vLLM and what it imports warn of their own and of torch's old ways.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

# Both compute in float32 and add in another order, over logits as far apart as a trained model's; 5e-6 was seen.
AGREE = 5e-5
STEPS = 4
TRAINER: dict[str, Any] = {
    "max_steps": STEPS,
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "gradient_checkpointing": False,
    "temperature": 0.8,
    # Large, so that an adapter that is one step old tells other probabilities.
    "learning_rate": 1.0e-2,
    "save_steps": 100,
}
PROMPT = PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vLLM's kernels for CPUs want heads of 32 at the least."""
    return strong_model(tmp_path_factory.mktemp("models") / "strong", hidden=128)


@pytest.fixture(scope="module")
def server(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    with VllmServer(base, tmp_path_factory.mktemp("servers") / "log", lora_rank=8) as started:
        started.wait()
        yield started


def adapted(base: Path) -> Any:
    """A model whose adapter changes what it says: LoRA's B is not zero."""
    model = fresh_adapter(load_model(find_model(str(base))), LoraRecipe(rank=4, alpha=8), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    return model


@contextmanager
def rollouts_of(recipe: RolloutsRecipe, base: Path, model: Any, work: Path) -> Iterator[Rollouts]:
    encoder = PromptEncoder(load_tokenizer(find_model(str(base))), PROMPT)
    examples = whole_queries(rule.examples(0, queries=4), documents=4, seed=1)
    with small_vllm(), sampler_of(recipe, base, model, work, max_length=encoder.settings.max_length) as sampler:
        yield Rollouts(encoder, examples, tokens=12, seed=3, sampler=sampler, settings=recipe)


def lengths(*, completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
    return [float(sum(ids) % 5) for ids in completion_ids]


def lines(folder: Path) -> list[dict[str, float]]:
    return [line for text in (folder / "log.jsonl").read_text().splitlines() if "loss" in (line := json.loads(text))]


class Watched:
    """Notes what an engine is handed, and what it says of one prompt afterwards."""

    def __init__(self, engine: Adapting) -> None:
        self.engine = engine
        self.handed: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def take_adapter(self, folder: Path) -> None:
        assert [path.name for path in folder.parent.iterdir()] == [folder.name], "old adapters are left on disk"
        self.handed.append((folder / "adapter_model.safetensors").read_bytes())
        self.engine.take_adapter(folder)


class Stale(HandedOver):
    """Hands over the first adapter only."""

    @contextmanager
    def engine(self, trainer: Any) -> Iterator[Engine]:
        if trainer.state.global_step:
            yield self.sampler
            return
        with super().engine(trainer) as engine:
            yield engine


def test_in_process_every_adapter_agrees_and_a_stale_one_is_noticed(base: Path, tmp_path: Path) -> None:
    model = adapted(base)
    recipe = RolloutsRecipe(engine="vllm", vllm=RolloutVllmRecipe(dtype="float32"))
    with rollouts_of(recipe, base, model, tmp_path / "work") as rollouts:
        check_agreement(rollouts, model, tmp_path)
        assert isinstance(rollouts.sampler, HandedOver)
        vllm: Any = rollouts.sampler.sampler
        assert set(vllm.engine._llm.llm_engine.list_loras()) == {STEPS}
        check_staleness(rollouts, base, tmp_path)
        check_death(rollouts, base, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_on_a_server_every_adapter_agrees_and_a_stale_one_is_noticed(
    base: Path, server: VllmServer, tmp_path: Path
) -> None:
    model = adapted(base)
    servers = RolloutServersRecipe(urls=(server.url,), adapters=tmp_path / "shared")
    with rollouts_of(RolloutsRecipe(engine="server", server=servers), base, model, tmp_path) as rollouts:
        check_agreement(rollouts, model, tmp_path)
        check_staleness(rollouts, base, tmp_path)
    assert list((tmp_path / "shared").iterdir()) == []


def check_agreement(rollouts: Rollouts, model: Any, folder: Path) -> None:
    assert isinstance(rollouts.sampler, HandedOver)
    watched = rollouts.sampler.sampler = Watched(rollouts.sampler.sampler)
    figures = train(model, rollouts, [lengths], trainer=TRAINER, folder=folder / "agreeing")
    assert len(set(watched.handed)) == len(watched.handed) == STEPS
    told = lines(folder)
    assert len(told) == STEPS
    assert all(0 < line["sampling/difference"] <= AGREE for line in told), told
    assert all(line["sampling/weight"] == pytest.approx(1, abs=1e-4) for line in told)
    assert all(line["seconds/sync"] > 0 for line in told)
    assert 0 < figures["sync_share"] < 1


def check_staleness(rollouts: Rollouts, base: Path, folder: Path) -> None:
    """It fires at the second step, and the adapter that the first step gave is kept."""
    model = adapted(base)
    assert isinstance(rollouts.sampler, HandedOver)
    rollouts.sampler = Stale(rollouts.sampler.sampler, rollouts.sampler.folder)
    with pytest.raises(TrainingError, match=r"step 2: .* after step 1 "):
        train(model, rollouts, [lengths], trainer=TRAINER, folder=folder / "stale")
    kept = last_complete(folder / "stale")
    assert kept is not None
    assert kept.name == "checkpoint-1"


def check_death(rollouts: Rollouts, base: Path, folder: Path) -> None:
    """VLLM's own process is gone: a sentence."""
    model = adapted(base)
    assert isinstance(rollouts.sampler, HandedOver)
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    rollouts.sampler = HandedOver(rollouts.sampler.sampler, rollouts.sampler.folder)
    with pytest.raises(ModelError, match="step 1: vLLM's process"):
        train(model, rollouts, [lengths], trainer=TRAINER, folder=folder / "dead")
