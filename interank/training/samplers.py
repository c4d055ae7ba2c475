"""Samplers of a step's completions: the trained model itself, or an engine that is handed each new adapter."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import PeftModel, get_peft_model_state_dict

from interank import distributed
from interank.engines.budget import within
from interank.engines.prompts import Prompt
from interank.engines.protocol import Adapting, Completion, Engine, content_seed
from interank.engines.rollout_servers import RolloutServers
from interank.engines.transformers import TransformersEngine
from interank.engines.vllm import SPARE, VllmEngine, VllmOptions, check_applied
from interank.errors import ModelError
from interank.settings import RolloutsRecipe


class Sampler(Protocol):
    """Provides an engine that samples from the present policy."""

    def engine(self, trainer: Any) -> AbstractContextManager[Engine]:
        """The engine for the present step of a `PolicyTrainer`."""
        ...

    def engine_of(self, model: Any) -> AbstractContextManager[Engine]:
        """The engine for a model outside of a training step."""
        ...


class TrainedWeights:
    """Samples with the trained model itself, so that no adapter is handed over."""

    def __init__(self, memory: float | None = None) -> None:
        """Take the gigabytes for a batch's keys and values; None takes half of the free memory."""
        self._memory = memory

    @contextmanager
    def engine(self, trainer: Any) -> Iterator[Engine]:
        """See `Sampler`."""
        with self.engine_of(trainer.accelerator.unwrap_model(trainer.model)) as engine:
            yield engine

    @contextmanager
    def engine_of(self, model: Any) -> Iterator[Engine]:
        """See `Sampler`."""
        yield TransformersEngine(model, budget=within(model, self._memory))


class HandedOver:
    """Saves the adapter whenever it has changed and has an engine load it; the base weights never change.

    Nothing is merged: merging into 4-bit weights would round them anew at each step, and in bfloat16 merging and
    unmerging drifts. Each adapter has a folder of its own, of which only the last is kept.
    """

    def __init__(self, sampler: Adapting, folder: Path) -> None:
        """Take an engine with the base weights, and the folder through which adapters go to it."""
        self.sampler = sampler
        self.folder = folder.resolve()
        self._number = 0
        self._handed: dict[str, torch.Tensor] = {}

    @contextmanager
    def engine(self, trainer: Any) -> Iterator[Engine]:
        """See `Sampler`; the hand-over counts as `sync`."""
        with trainer.clock.part("sync"):
            self._hand_over(trainer.accelerator.unwrap_model(trainer.model))
        yield self.sampler

    @contextmanager
    def engine_of(self, model: Any) -> Iterator[Engine]:
        """See `Sampler`."""
        self._hand_over(model)
        yield self.sampler

    def _hand_over(self, model: PeftModel) -> None:
        """Hand the adapter over, unless its weights are bit for bit those handed over last."""
        weights = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
        if self._handed.keys() == weights.keys() and all(
            torch.equal(self._handed[name], weight.cpu()) for name, weight in weights.items()
        ):
            return
        self._handed = {}
        self._number += 1
        adapter = self.folder / f"adapter-{self._number}"
        if distributed.first():
            shutil.rmtree(self.folder, ignore_errors=True)
            model.save_pretrained(adapter, selected_adapters=["default"], save_embedding_layers=False)
        self.sampler.take_adapter(adapter)
        self._handed = {name: weight.detach().cpu().clone() for name, weight in weights.items()}


@contextmanager
def sampler_of(
    recipe: RolloutsRecipe, base: Path, model: PeftModel, work: Path, *, max_length: int
) -> Iterator[Sampler]:
    """The recipe's sampler for a model on these base weights; the adapters on disk are deleted at the end.

    `max_length` is the most tokens of a prompt with its completion.

    Raises:
        ModelError: vLLM is not installed, would sample from other base weights than the trained ones, or may apply the
            adapter wrongly.
    """
    if recipe.engine == "transformers":
        yield TrainedWeights(recipe.memory)
        return
    if recipe.engine == "vllm" and getattr(model, "is_loaded_in_4bit", False) and recipe.vllm.quantisation is None:
        raise ModelError(
            "the trained model's base weights are in NF4, and vLLM would sample from unquantised ones; set "
            "quantisation: none, rollouts.vllm.quantisation: bitsandbytes, or rollouts.engine: transformers"
        )
    if recipe.engine == "vllm" and distributed.world() > 1:
        raise ModelError(
            f"rollouts.engine: vllm takes one training process, and there are {distributed.world()}; start servers on "
            "other GPUs, and set rollouts.engine: server"
        )
    check_applied((name for name, _ in model.named_parameters()), "the adapter that is trained")
    # A name of this output's own, since other trainings may use the same folder.
    own = f"interank-{content_seed(list(str(work.resolve()).encode())):08x}"
    folder = (recipe.server.adapters or work) / own
    engine: Adapting
    if recipe.engine == "server":
        engine = RolloutServers(recipe.server, vocabulary=model.get_input_embeddings().num_embeddings)
    else:
        options = recipe.vllm
        engine = VllmEngine(
            base,
            VllmOptions(
                max_length=max_length + SPARE,
                quantisation=options.quantisation,
                dtype=options.dtype,
                gpu_memory=options.gpu_memory,
                lora_rank=model.peft_config["default"].r,
            ),
        )
    try:
        yield HandedOver(engine, folder)
    finally:
        if distributed.first():
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(engine, VllmEngine):
            # The next stage needs its memory.
            engine.close()


def seed_at(seed: int, trainer: Any) -> int:
    """The seed of the present step, so that a resumed training samples the same as an uninterrupted one."""
    return seed * 1_000_003 + int(trainer.state.global_step)


def sampled_rows(
    prompts: Sequence[Prompt], leads: Sequence[tuple[int, ...]], completions: Sequence[Completion], *, end: int
) -> dict[str, Any]:
    """The result of TRL's rollout function: completions after forced `leads`, with the end token of finished ones."""
    ends = [(end,) if item.finished else () for item in completions]
    rows = list(zip(leads, completions, ends, strict=True))
    return {
        "prompt_ids": [list(prompt.ids) for prompt in prompts],
        "completion_ids": [[*lead, *item.ids, *stop] for lead, item, stop in rows],
        # Compared with the trainer's. Forced tokens have none.
        "logprobs": [
            [*[None] * len(lead), *item.logprobs, *[item.end_logprob] * len(stop)] for lead, item, stop in rows
        ],
        "env_mask": [[0] * len(lead) + [1] * (len(item.ids) + len(stop)) for lead, item, stop in rows],
    }
