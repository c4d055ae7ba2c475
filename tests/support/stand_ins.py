"""Tiny models under the names of released ones, for documents that show these at work."""

from __future__ import annotations

from pathlib import Path

from interank.settings import HeadSettings
from tests.support.tiny_heads import released_adapter, tiny_base, tiny_head

BASE = "meta-llama/Llama-3.2-3B"
ADAPTERS = (
    "abdoelsayed/dear-3b-reranker-ce-lora-v1",
    "your-org/dear-3b-medical-lora",
    "your-org/dear-3b-legal-lora",
)
WHOLE = ("abdoelsayed/dear-3b-reranker-ranknet-v1", "abdoelsayed/llama2-13b-rankllama-teacher")
TRAINED = "your-org/finetuned-3b"


def stand_ins(folder: Path) -> None:
    """Make them, each in a folder of its name, the adapters naming their base as the hub does."""
    tiny_base(folder / BASE)
    for seed, name in enumerate(ADAPTERS):
        released_adapter(folder / name, folder / BASE, seed=seed, base_name=BASE)
    for seed, name in enumerate(WHOLE, start=len(ADAPTERS)):
        tiny_head(folder / name, folder / BASE, None, seed=seed)
    tiny_head(folder / TRAINED, folder / BASE, HeadSettings(), seed=9)
