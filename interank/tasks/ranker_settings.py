"""The settings with which a reranker is opened, shared by the command line, the stages and the Python interface."""

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


class LoadedModel(NamedTuple):
    """A language model in an engine, with the encoder of its prompts."""

    engine: Engine
    encoder: PromptEncoder
    modes: tuple[str, ...] = ()
    """The modes it was trained for, where that is known."""


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """Which model ranks, in which mode, on which engine, and with which fit of its scores."""

    model: str | None
    """An output of distill or rl, a PEFT adapter's folder, a model's folder or its name on the hub; None if `loaded` is
    given."""
    mode: Mode = "score"
    max_reasoning_tokens: int = 256
    """The token budget of an explanation, or of the reasoning about a window."""
    engine: EngineName = "transformers"
    server: ServerRecipe | None = None
    """For `openai`: the servers."""
    precision: Precision = "exact"
    base: str | None = None
    """An adapter's base model, where it is not the recorded one; see `find_base`."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: the windows over the documents."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: the budget, and what it is spent on."""
    head: HeadSettings | None = None
    """How a pointwise head reads a pair, where its folder does not say so."""
    guard: Guard = "none"
    fit: Path | None = None
    """A fit to apply to the scores: its file, or the folder that stores it."""
    stored_fit: bool = True
    """Whether the fit stored with the model is applied where `fit` is None."""
    memory: float | None = None
    """Gigabytes for a batch's keys and values; None takes half of the device's free memory."""
    loaded: LoadedModel | None = None
    """A model that is in an engine already, in place of `model`."""

    @classmethod
    def of_link(cls, link: LinkRecipe) -> RankerSettings:
        """The settings of a recipe's link; a fit stored with the model is not applied."""
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
        """Refuse settings that contradict each other, before anything is opened.

        Raises:
            InputError: Settings contradict each other, or one has no such value.
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
    """Refuse an unknown precision.

    Raises:
        InputError: There is no such precision.
    """
    try:
        as_precision(precision)
    except ValueError as error:
        raise InputError(str(error)) from None


AnyServer = str | Mapping[str, Any] | ServerRecipe
"""Servers: the base URL of one, or a `ServerRecipe` or its keys."""
