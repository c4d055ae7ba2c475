"""The modes of a reranker, what each needs of an engine."""

from __future__ import annotations

from typing import Literal

from interank.engines.protocol import Ability, Engine
from interank.errors import InputError

Mode = Literal["score", "explain", "reason", "listwise"]

_EXPLAINED = 3
_NEEDED: dict[Mode, frozenset[Ability]] = {
    # A grade is read at a position that is forced, which takes token ids in and the labels' own logits out.
    "score": frozenset({"token_ids", "label_logits"}),
    "explain": frozenset({"token_ids", "label_logits"}),
    "reason": frozenset({"token_ids", "label_logits"}),
    # An order is read from text, which every engine writes.
    "listwise": frozenset(),
}


def check_mode(mode: str) -> None:
    """Refuse what is no mode.

    Raises:
        InputError: It is none.
    """
    if mode not in _NEEDED:
        raise InputError(f"found the mode {mode!r}; expected one of {', '.join(_NEEDED)}")


def check_engine(mode: Mode, engine: Engine) -> None:
    """Refuse an engine that lacks what the mode needs.

    Raises:
        InputError: It lacks something.
    """
    if lacking := _NEEDED[mode] - engine.abilities:
        raise InputError(
            f"mode {mode} needs an engine with {' and '.join(sorted(lacking))}, which {type(engine).__name__} "
            f"on {engine.device} lacks: chat endpoints encode the prompt anew and cannot be made to grade; "
            "use transformers or vllm"
        )


def how_many_explained(mode: Mode, asked: int | None) -> int:
    """Of how many documents the grades are explained after they were given.

    Raises:
        InputError: Fewer than none are asked for.
    """
    if asked is not None and asked < 0:
        raise InputError(f"explain is {asked}; give 0 or more")
    if mode == "reason":
        return 0
    return asked if asked is not None else (_EXPLAINED if mode == "explain" else 0)
