"""What samples a step's completions: the trained weights themselves, or an engine that is handed the adapter anew."""

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
    """Lends an engine that samples from the policy as it is now."""

    def engine(self, trainer: Any) -> AbstractContextManager[Engine]:
        """The engine, for the present step of a `PolicyTrainer`."""
        ...

    def engine_of(self, model: Any) -> AbstractContextManager[Engine]:
        """The engine, before or without a training of the model."""
        ...


class TrainedWeights:
    """Samples with the model that is trained, so that there is nothing to hand over."""

    def __init__(self, memory: float | None = None) -> None:
        """Take how many gigabytes a batch's keys and values may have; None is half of what is free."""
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
    """Saves the adapter whenever it has moved and has an engine read it; the base weights never move.

    Nothing is merged: merging into 4-bit weights rounds them anew at each step, and in bfloat16 merging and taking
    back drifts. Each adapter has a folder of its own, of which only the last is kept.
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
        """Nothing is done where the weights are those that were handed over last, to the last bit."""
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
    """What a recipe says shall sample, beside a model on these base weights; adapters on disk are gone afterwards.

    `max_length` is of prompts with their completions, in tokens.

    Raises:
        ModelError: vLLM is not installed, would sample from other base weights than those that are trained, or may not
            apply the adapter right.
    """
    if recipe.engine == "transformers":
        yield TrainedWeights(recipe.memory)
        return
    if recipe.engine == "vllm" and getattr(model, "is_loaded_in_4bit", False) and recipe.vllm.quantisation is None:
        raise ModelError(
            "the trained model's base weights are in NF4, those that vLLM would sample from are not; set "
            "quantisation: none, rollouts.vllm.quantisation: bitsandbytes, or rollouts.engine: transformers"
        )
    if recipe.engine == "vllm" and distributed.world() > 1:
        raise ModelError(
            f"rollouts.engine: vllm runs beside one training process, and there are {distributed.world()}; start "
            "servers on GPUs of their own, and set rollouts.engine: server"
        )
    check_applied((name for name, _ in model.named_parameters()), "the adapter that is trained")
    # Of its own, whoever else hands over there.
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
            # What comes next needs its memory.
            engine.close()


def seed_at(seed: int, trainer: Any) -> int:
    """The seed of the present step, so that a resumed training samples what an uninterrupted one does."""
    return seed * 1_000_003 + int(trainer.state.global_step)


def sampled_rows(
    prompts: Sequence[Prompt], leads: Sequence[tuple[int, ...]], completions: Sequence[Completion], *, end: int
) -> dict[str, Any]:
    """What TRL's rollout function gives back: completions behind forced `leads`, with the end where it was reached."""
    ends = [(end,) if item.finished else () for item in completions]
    rows = list(zip(leads, completions, ends, strict=True))
    return {
        "prompt_ids": [list(prompt.ids) for prompt in prompts],
        "completion_ids": [[*lead, *item.ids, *stop] for lead, item, stop in rows],
        # To hold the trainer's against. Forced tokens have none.
        "logprobs": [
            [*[None] * len(lead), *item.logprobs, *[item.end_logprob] * len(stop)] for lead, item, stop in rows
        ],
        "env_mask": [[0] * len(lead) + [1] * (len(item.ids) + len(stop)) for lead, item, stop in rows],
    }
