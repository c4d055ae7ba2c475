"""The rollouts section of a recipe: which engine samples completions, and how its log-probabilities are checked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import FilePath, Settings
from interank.settings.servers import ServersRecipe


class RolloutVllmRecipe(Settings):
    """vLLM in the trainer's process, on the same GPU."""

    gpu_memory: float = Field(0.35, gt=0, lt=1)
    """The share of the GPU's memory that vLLM may take; the rest is the trainer's."""
    dtype: str = "auto"
    """auto, bfloat16, float16 or float32."""
    quantisation: str | None = None
    """vLLM's name of the base weights' quantisation; null takes that of the model's configuration."""


class RolloutServersRecipe(ServersRecipe):
    """`vllm serve` processes with the base model, each of which reloads the adapter after every step."""

    in_flight: int = Field(256, ge=1)
    """Requests in flight at a time, over all servers."""
    adapters: FilePath | None = None
    """The folder in which adapters are handed over; trainer and servers have to see it under the same path. Null takes
    one in the output, which is enough on one machine."""


class RolloutsRecipe(Settings):
    """How the completions of a step are sampled."""

    engine: Literal["transformers", "vllm", "server"] = "transformers"
    """`transformers` samples with the trained weights themselves, on any device; `vllm` (in this process) and `server`
    (`vllm serve`, on other GPUs or machines) get the adapter after every step."""
    memory: float | None = Field(None, gt=0)
    """For `engine: transformers`: gigabytes for the KV cache of the texts generated together; null takes half of the
    device's free memory. The samples do not depend on it."""
    vllm: RolloutVllmRecipe = RolloutVllmRecipe()
    """For `engine: vllm`."""
    server: RolloutServersRecipe = RolloutServersRecipe()
    """For `engine: server`."""
    importance_clip: float | None = Field(2.0, ge=1)
    """Each token's loss is weighted by its probability in the trainer over that in the sampler, capped at this value
    (truncated importance sampling); null applies no weights."""
    check_every: int = Field(1, ge=1)
    """The trainer's log-probabilities are compared with the sampler's for the first batch, and then for one in this
    many hand-overs of the adapter."""
    tolerance: float | None = Field(None, gt=0)
    """The run ends when they differ by more than this, in nats, averaged over tokens. Null takes 0.001 in float32; in
    bfloat16 and float16, where no limit was measured, the level of the first checks decides."""
    level_checks: int = Field(8, ge=1)
    """The level is the median difference of this many first checks, which cannot end the run."""
    level_factor: float = Field(4.0, gt=1)
    """A later check that differs by more than this many times the level ends the run: rounding stays near its level;
    a wrong adapter, prompt or temperature does not."""
    level_floor: float = Field(0.05, gt=0)
    """A smaller difference, in nats, never ends the run, however low the level; the first checks warn above it. At
    0.05 nats a token is 5 percent more or less probable."""

    @model_validator(mode="after")
    def _urls_where_they_are_asked(self) -> RolloutsRecipe:
        if self.engine == "server" and not self.server.urls:
            raise ValueError("server.urls: engine server needs the base URL of a server, as http://localhost:8000/v1")
        if self.engine != "server" and self.server.urls:
            raise ValueError(f"server.urls: engine {self.engine} asks no server; set engine: server, or leave them out")
        if self.engine != "transformers" and self.memory is not None:
            raise ValueError(
                f"memory: engine {self.engine} manages its own memory; set engine: transformers, or leave it out"
            )
        return self
