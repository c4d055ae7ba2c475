"""Train, evaluate and use small language models that reason about relevance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interank.reranking.reranker import Reranker

# bitsandbytes logs this at import if `kernels` is not installed, even where no 4-bit weights are used; it then runs
# them with its own kernels.
_AT_IMPORT = "Failed to load CPU gemm_4bit_forward"
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda record: not str(record.msg).startswith(_AT_IMPORT))

__version__ = "0.1.0"
__all__ = ["Reranker"]


def __getattr__(name: str) -> Any:
    # Reranker imports torch, which takes seconds; other uses do not wait for it.
    if name == "Reranker":
        from interank.reranking.reranker import Reranker

        return Reranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
