"""The numeric precision in which a model ranks: a setting of rerankers, links of chains and commands."""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["exact", "bfloat16", "nf4"]
"""`exact`: the model's own; `bfloat16`: gated layers in bfloat16, on CPUs; `nf4`: bitsandbytes' 4-bit base weights."""


def as_precision(value: object) -> object:
    """Return the value if it names a precision.

    Raises:
        ValueError: It names none; the message lists those that exist.
    """
    if value == "int8":
        raise ValueError(
            "precision int8 was removed, as it changed the ranking of every model it was tried on; use exact, "
            "bfloat16 (faster on processors with AMX), or nf4 (less memory)"
        )
    if value not in get_args(Precision):
        raise ValueError(f"there is no precision {value!r}; use one of {', '.join(get_args(Precision))}")
    return value
