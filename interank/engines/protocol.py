"""What every engine and every teacher can do; a teacher answers requests with replies that can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable
from zlib import crc32

from interank.engines.prompts import Prompt
from interank.engines.work import Work

Ability = Literal["token_ids", "label_logits", "schema"]
"""Takes prompts as token ids; returns the labels' logits; writes JSON by a schema."""

EngineName = Literal["transformers", "vllm", "openai"]
"""What runs a model: in this process transformers or vLLM, elsewhere any OpenAI-compatible server."""

# The assumed length of a token where tokens cannot be counted, as in English prose.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class LabelLogits:
    """The logits of the labels after a prompt, up to a constant, and the labels' total probability."""

    logits: tuple[float, ...]
    mass: float


@dataclass(frozen=True, slots=True)
class Completion:
    """Generated token ids, without the end-of-turn, with each one's log-probability at the sampling temperature."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Empty if the engine does not return them."""
    finished: bool
    """Whether the model ended its turn; otherwise the token limit did."""
    end_logprob: float | None = None
    """The log-probability of ending there; None if the engine does not return it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; temperature 0 is greedy."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    before: int = 0
    """If several processes share the texts of a call: how many texts belong to the processes before this one."""
    among: int = 0
    """How many texts all processes have; 0 if this call has them all."""


@dataclass(frozen=True, slots=True)
class ForcedLabels:
    """A request for the labels' logits after other ids in place of a completion."""

    continuation: Callable[[Completion], tuple[int, ...]]
    labels: tuple[int, int, int]


class Labelling(Protocol):
    """Reads labels' logits from a language model."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """The labels' logits as next token of each prompt, in prompt order."""
        ...


class Working(Protocol):
    """Runs a model and counts its work."""

    work: Work
    """The work so far."""

    @property
    def device(self) -> str:
        """Where the model runs: `cpu`, `cuda`, or a server's address."""
        ...

    def flops(self, work: Work) -> float | None:
        """Floating-point operations of this work of the model; None if its shape is not known."""
        ...


class Engine(Labelling, Working, Protocol):
    """Runs a language model; prompts of one call may share the work of their prefix."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        ...

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """A completion of each prompt, in prompt order; `end` is the token that ends a turn."""
        ...


class Adapting(Engine, Protocol):
    """An engine for a training's rollouts, which uses the adapter that it loaded last."""

    def take_adapter(self, folder: Path) -> None:
        """Load the LoRA adapter in `folder` under a new name, and drop the one before.

        Raises:
            ModelError: The engine cannot load it.
        """
        ...


Message = tuple[str, str]
"""A role and its text."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a teacher: generate text or, with `labels`, return their logits as the next token."""

    prompt: Prompt | tuple[Message, ...]
    """Token ids, or messages for servers that take nothing else."""
    sampling: Sampling = Sampling(1)
    end: int = -1
    """The token that ends a turn; servers that take messages know it themselves."""
    labels: tuple[int, ...] = ()
    schema: str = ""
    """A JSON schema that the answer keeps to."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A teacher's reply: ids from engines that return them, text from others, the labels' logits if requested."""

    ids: tuple[int, ...] = ()
    text: str = ""
    finished: bool = True
    labels: LabelLogits | None = None
    read: int = 0
    """Tokens of the prompt, by the provider's count if there is one."""
    written: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why there is no usable reply."""

    reason: str


Unit = tuple[Request, ...]
"""Requests that are answered and stored together, because the other requests of a batch move a reply's last digits."""


class Teacher(Protocol):
    """Answers requests: an engine in this process, or servers elsewhere."""

    @property
    def identity(self) -> str:
        """The model and its engine, on which a reply depends beside its request."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        ...

    @property
    def unit_size(self) -> int:
        """How many requests make a unit."""
        ...

    @property
    def vocabulary(self) -> int | None:
        """How many token ids there are; None if that is not known."""
        ...

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failure, ...]]]:
        """Take units as there is room for them; yield each with its replies, in the order of completion.

        Every reply is checked first; one that cannot be used is `Failure`.
        """
        ...


def content_seed(ids: Sequence[int]) -> int:
    """A checksum of token ids, for a seed that does not depend on their place in a batch."""
    return crc32(" ".join(map(str, ids)).encode())


@runtime_checkable
class Grading(Protocol):
    """An engine that grades a text right after generating it, without reading it again."""

    @property
    def rereads(self) -> bool:
        """Whether with this model it reads the prompt a second time after all."""
        ...

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """Completions as from `generate`, and the labels' logits after the ids that `asked` puts in their place."""
        ...


@runtime_checkable
class Conversing(Protocol):
    """An engine that takes messages, for servers that take nothing else."""

    def converse(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """The answer to each conversation, in their order."""
        ...
