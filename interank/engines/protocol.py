"""What every engine can do, and how a teacher is asked through one: in requests whose replies can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable
from zlib import crc32

from interank.engines.prompts import Prompt
from interank.engines.work import Work

Ability = Literal["token_ids", "label_logits", "schema"]
"""Takes prompts as token ids; tells the labels' logits; writes JSON by a schema."""

EngineName = Literal["transformers", "vllm", "openai"]
"""What runs a model: in this process transformers or vLLM, elsewhere any OpenAI-compatible server."""

# Where tokens cannot be counted one is taken to be so many characters, as in English prose.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class LabelLogits:
    """The logits of the labels after a prompt up to a constant, and the probability that they hold together."""

    logits: tuple[float, ...]
    mass: float


@dataclass(frozen=True, slots=True)
class Completion:
    """Generated token ids, without the end-of-turn, with each one's log-probability at the sampling temperature."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Empty where they are not told."""
    finished: bool
    """Whether the model ended its turn; otherwise the budget did."""
    end_logprob: float | None = None
    """The log-probability of ending there, where it was told."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; temperature 0 is greedy."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    before: int = 0
    """Of texts that several processes write together, how many others write before these."""
    among: int = 0
    """How many they all write; 0 where this call has all."""


@dataclass(frozen=True, slots=True)
class Forced:
    """What is asked after a completion: the labels' logits behind these ids in its place."""

    continuation: Callable[[Completion], tuple[int, ...]]
    labels: tuple[int, int, int]


class Labelling(Protocol):
    """Whatever reads labels off a language model."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """The labels' logits as next token of each prompt, in prompt order."""
        ...


class Working(Protocol):
    """Runs a model and counts what that takes."""

    work: Work
    """What it has done so far."""

    @property
    def device(self) -> str:
        """Where the model runs: `cpu`, `cuda`, or a server's address."""
        ...

    def flops(self, work: Work) -> float | None:
        """Floating-point operations of so much work of this model, where its shape is known."""
        ...


class Engine(Labelling, Working, Protocol):
    """Runs a language model; prompts of one call may share their prefix's work."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        ...

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """A completion of each prompt, in prompt order; `end` is the token that ends a turn."""
        ...


class Adapting(Engine, Protocol):
    """An engine beside a training, which answers with the adapter that it was given last."""

    def take_adapter(self, folder: Path) -> None:
        """Read the LoRA adapter in `folder`, under a name that was never used, and drop the one before.

        Raises:
            ModelError: It cannot be read there.
        """
        ...


Message = tuple[str, str]
"""A role and what it says."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked of a teacher: to go on writing, or (with `labels`) which of them it would write next."""

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
    """What came back: ids from engines that speak in them, text from the others, the labels' logits if asked for."""

    ids: tuple[int, ...] = ()
    text: str = ""
    finished: bool = True
    labels: LabelLogits | None = None
    read: int = 0
    """Tokens of the prompt, as counted by whoever is paid for them."""
    written: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no reply, and why."""

    reason: str


Unit = tuple[Request, ...]
"""Requests whose replies stand or fall together, because what stands together in a batch moves the last digits."""


class Teacher(Protocol):
    """Answers requests: an engine in this process, or servers elsewhere."""

    @property
    def identity(self) -> str:
        """What a reply depends on beside its request: the model and what runs it."""
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
        """How many token ids there are; None where that is not known."""
        ...

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failed, ...]]]:
        """Take units as there is room for them; give each back with its replies, in the order in which they come.

        A reply is checked whole before it is given; what cannot be used is `Failed`.
        """
        ...


def content_seed(ids: Sequence[int]) -> int:
    """A number made of token ids: part of a seed that is the same wherever the ids stand."""
    return crc32(" ".join(map(str, ids)).encode())


@runtime_checkable
class Grading(Protocol):
    """An engine that grades what it has just written without reading it again."""

    @property
    def rereads(self) -> bool:
        """Whether, as the model is, it reads the prompt a second time after all."""
        ...

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: Forced, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """Completions as `generate` gives them, and the labels' logits behind what `asked` puts in their place."""
        ...


@runtime_checkable
class Conversing(Protocol):
    """An engine that can be asked in messages, for servers that take nothing else."""

    def converse(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """The answer to each conversation, in their order."""
        ...
