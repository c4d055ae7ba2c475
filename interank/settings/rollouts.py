"""The rollouts' part of a recipe: what samples the completions that are rewarded, and how far it may be trusted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import FilePath, Settings
from interank.settings.servers import ServersRecipe


class RolloutVllmRecipe(Settings):
    """How vLLM stands beside the trainer, in this process and on its GPU."""

    gpu_memory: float = Field(0.35, gt=0, lt=1)
    """The share of the GPU's memory that vLLM may take; the trainer has the rest."""
    dtype: str = "auto"
    """auto, bfloat16, float16 or float32."""
    quantisation: str | None = None
    """vLLM's name of the base weights' form; null takes what the model's own configuration says."""


class RolloutServersRecipe(ServersRecipe):
    """`vllm serve` processes with the base model, which each take the adapter anew after every step."""

    in_flight: int = Field(256, ge=1)
    """Requests under way at a time, over all servers."""
    adapters: FilePath | None = None
    """A folder that trainer and servers both see under this path, where adapters are handed over; null takes the
    output's own, which will do on one machine."""


class RolloutsRecipe(Settings):
    """What samples the completions of a step."""

    engine: Literal["transformers", "vllm", "server"] = "transformers"
    """`transformers` samples with the trained weights themselves, anywhere; `vllm` in this process and `server`
    (`vllm serve`, on other GPUs or machines) are given the adapter after every step."""
    memory: float | None = Field(None, gt=0)
    """For `engine: transformers`: gigabytes that the keys and values of texts that are written together may take; null
    takes half of what the device has free. What is sampled does not depend on it."""
    vllm: RolloutVllmRecipe = RolloutVllmRecipe()
    """For `engine: vllm`."""
    server: RolloutServersRecipe = RolloutServersRecipe()
    """For `engine: server`."""
    importance_clip: float | None = Field(2.0, ge=1)
    """Each token's loss is weighted by its probability in the trainer over that in the sampler, at most by this
    (truncated importance sampling); null weights none."""
    check_every: int = Field(1, ge=1)
    """Of so many hand-overs of the adapter, one is checked: the trainer's log-probabilities against the sampler's.
    The first batch always is."""
    tolerance: float | None = Field(None, gt=0)
    """How far these may differ, in nats, on average over tokens, before the run ends; null takes 0.001 in float32, and
    in bfloat16 and float16, for which no limit was measured, goes by the level of the first checks."""
    level_checks: int = Field(8, ge=1)
    """The level is the median of so many checks, which end nothing."""
    level_factor: float = Field(4.0, gt=1)
    """A later check that lies so many times over the level ends the run: rounding stays on its level, and another
    adapter, prompt or temperature does not."""
    level_floor: float = Field(0.05, gt=0)
    """What lies below, in nats, ends nothing however low the level was, and the first checks warn above it: a token is
    then 5 percent more or less probable."""

    @model_validator(mode="after")
    def _urls_where_they_are_asked(self) -> RolloutsRecipe:
        if self.engine == "server" and not self.server.urls:
            raise ValueError("server.urls: engine server needs the base URL of a server, as http://localhost:8000/v1")
        if self.engine != "server" and self.server.urls:
            raise ValueError(f"server.urls: engine {self.engine} asks no server; set engine: server, or leave them out")
        if self.engine != "transformers" and self.memory is not None:
            raise ValueError(f"memory: engine {self.engine} has its own; set engine: transformers, or leave it out")
        return self
