"""In what numbers a model ranks, as rerankers, links of chains and commands are told."""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["exact", "bfloat16", "nf4"]
"""The model's own numbers; on a CPU its gated layers in bfloat16; or base weights in bitsandbytes' 4 bits."""


def as_precision(value: object) -> object:
    """The value, if it names a precision.

    Raises:
        ValueError: It names none; says what to use.
    """
    if value == "int8":
        raise ValueError(
            "there is no precision int8 any more, since it kept the ranking of no model that it was tried "
            "on; use exact, bfloat16 (faster on processors with AMX), or nf4 (less memory)"
        )
    if value not in get_args(Precision):
        raise ValueError(f"there is no precision {value!r}; use one of {', '.join(get_args(Precision))}")
    return value
