"""What a caller says of the reranker that is to be opened: one value for the command, the stages and Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, EngineName
from interank.errors import InputError
from interank.modes import MODES, SECTIONS, Guard, Mode
from interank.settings import AdaptiveRecipe, HeadSettings, LinkRecipe, ListwiseRecipe, ServerRecipe
from interank.settings.precision import Precision, as_precision

_ENGINES: tuple[EngineName, ...] = ("transformers", "vllm", "openai")


class Loaded(NamedTuple):
    """A language model in an engine, and what makes its prompts."""

    engine: Engine
    encoder: PromptEncoder
    modes: tuple[str, ...] = ()
    """What it was trained for, where that is known."""


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """Which model ranks, in which mode, what runs it, and what its rankings are finished with."""

    model: str | None
    """An output of distill or rl, a PEFT adapter's folder, a model's folder or its name on the hub; None where `loaded`
    has it."""
    mode: Mode = "score"
    max_reasoning_tokens: int = 256
    """What an explanation may take, or what is thought about a window."""
    engine: EngineName = "transformers"
    server: ServerRecipe | None = None
    """For `openai`: the servers."""
    precision: Precision = "exact"
    base: str | None = None
    """What an adapter stands on, where that is said; see `find_base`."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: how it goes through the documents."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: what may be spent, and on what."""
    head: HeadSettings | None = None
    """How a pointwise head reads a pair, where its folder does not say so."""
    guard: Guard = "none"
    fit: Path | None = None
    """A fit's file, or the folder that stores it, to finish rankings with."""
    stored_fit: bool = True
    """Whether the fit that lies beside the model is applied where none is given."""
    memory: float | None = None
    """Gigabytes that a batch's keys and values may take; None takes half of what the device has free."""
    loaded: Loaded | None = None
    """A model that is in an engine already, in place of `model`."""

    @classmethod
    def of_link(cls, link: LinkRecipe) -> RankerSettings:
        """As a recipe has it, where what a model stores is applied if it is asked for, and not before."""
        return cls(
            link.model,
            link.mode,
            link.max_reasoning_tokens,
            precision=link.precision,
            base=link.base,
            lists=link.lists,
            adaptive=link.adaptive,
            head=link.head if link.mode == "score" else None,
            stored_fit=False,
            memory=link.memory,
        )

    def check(self) -> None:
        """Refuse what does not go together, before anything is opened.

        Raises:
            InputError: Tells what was found and what to do.
        """
        if self.mode not in MODES:
            raise InputError(f"there is no mode {self.mode!r}; use one of {', '.join(MODES)}")
        for mode, section in SECTIONS.items():
            if getattr(self, section) is not None and self.mode != mode:
                raise InputError(
                    f"settings of {section} belong to mode {mode}, and the mode is {self.mode}; take mode "
                    f"{mode}, or leave them out"
                )
        if self.engine not in _ENGINES:
            raise InputError(f"there is no engine {self.engine!r}; use one of {', '.join(_ENGINES)}")
        check_precision(self.precision)
        if self.precision != "exact" and self.engine != "transformers":
            raise InputError(
                f"precision {self.precision} is for engine transformers, and {self.engine} has its own "
                "arithmetic; leave one of them out"
            )
        if self.memory is not None and self.engine != "transformers":
            raise InputError(f"memory is for engine transformers; found engine {self.engine}; leave one of them out")
        if self.memory is not None and not self.memory > 0:
            raise InputError(f"found a memory of {self.memory} GB; give more than 0, or leave it out")
        if (self.server is None) == (self.engine == "openai"):
            raise InputError(
                "engine openai and a server belong together: give engine openai with its server, as "
                "http://HOST:8000/v1, or neither"
            )
        if self.server is not None and not self.server.urls:
            raise InputError("engine openai was given no server's address; give one, as http://HOST:8000/v1")


def check_precision(precision: object) -> None:
    """Stop where there is no such precision.

    Raises:
        InputError: Says what to use.
    """
    try:
        as_precision(precision)
    except ValueError as error:
        raise InputError(str(error)) from None


AnyServer = str | Mapping[str, Any] | ServerRecipe
"""Servers by the base URL of one, or by `ServerRecipe` or its keys."""
