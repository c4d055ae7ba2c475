"""Train, evaluate and use small language models that reason about relevance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interank.reranking.reranker import Reranker

# bitsandbytes says so at import wherever `kernels` is not installed, also to those who use no 4-bit weights, which it
# runs with its own kernels then.
_AT_IMPORT = "Failed to load CPU gemm_4bit_forward"
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda record: not str(record.msg).startswith(_AT_IMPORT))

__version__ = "0.1.0"
__all__ = ["Reranker"]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import; whoever wants something else does not wait for it.
    if name == "Reranker":
        from interank.reranking.reranker import Reranker

        return Reranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
