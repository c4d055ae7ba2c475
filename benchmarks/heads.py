"""Throughput and memory of a pointwise head: random weights of a model's shape, pairs of DeAR's length."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, LlamaConfig

from interank.engines.adapters import merged
from interank.engines.heads import Head, scores
from interank.engines.models import compute_dtype, device, find_model, load_tokenizer
from interank.engines.pairs import Pair, PairEncoder
from interank.settings import HeadSettings, LoraRecipe
from interank.training.adapters import adapted_names

# Hidden, inner, layers, heads, heads of keys: Llama-3.2-3B, SmolLM2-135M, and one for trying the script.
SHAPES = {
    "3b": (128256, 3072, 8192, 28, 24, 8),
    "135m": (49152, 576, 1536, 30, 9, 3),
    "tiny": (1000, 64, 192, 2, 4, 2),
}
TOKENIZER = "HuggingFaceTB/SmolLM2-135M-Instruct"
LORA = LoraRecipe(rank=16, alpha=32)


def head_of(shape: str, form: str, settings: HeadSettings) -> Head:
    """A head with an adapter of rank 16 on its seven projections, apart from its base or folded into it."""
    vocabulary, hidden, inner, layers, heads, keys = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        num_labels=1,
    )
    torch.manual_seed(0)
    with torch.device(device()):
        model: Any = AutoModelForSequenceClassification.from_config(config, dtype=compute_dtype())
    model.score.float()
    lora = LoraConfig(
        task_type="SEQ_CLS", r=LORA.rank, lora_alpha=LORA.alpha, target_modules=adapted_names(model, LORA)
    )
    adapted = get_peft_model(model, lora).eval()
    if form == "folded":
        # In bfloat16 too, for the sake of the figure; the reranker folds in float32 alone.
        adapted = merged(adapted) if compute_dtype() == torch.float32 else adapted.merge_and_unload()
    return Head(adapted, PairEncoder(load_tokenizer(find_model(TOKENIZER)), settings))


def pairs_of(shape: str, count: int, length: int) -> list[Pair]:
    """Rows of random ids, of a quarter of the length to all of it."""
    rng = random.Random(0)
    lengths = [rng.randint(length // 4, length) for _ in range(count)]
    return [Pair(tuple(rng.randrange(10, SHAPES[shape][0]) for _ in range(n)), n // 4) for n in lengths]


def peak_bytes() -> int:
    """The most that was held, on the device that computes."""
    if device() == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(head: Head, pairs: list[Pair], rounds: int, batch_tokens: int | None) -> dict[str, float]:
    """Medians over the rounds, after one that is not counted."""
    scores(head, pairs[:8])
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        scores(head, pairs, batch_tokens=batch_tokens)
        seconds.append(time.perf_counter() - started)
    middle = statistics.median(seconds)
    tokens = sum(len(pair.ids) for pair in pairs)
    return {
        "pairs_per_second": round(len(pairs) / middle, 1),
        "tokens_per_second": round(tokens / middle),
        "seconds_per_100": round(100 * middle / len(pairs), 4),
        "peak_gib": round(peak_bytes() / 2**30, 2),
    }


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--length", type=int, default=228)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="default: the engine's")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    pairs = pairs_of(options.shape, options.pairs, options.length)
    figures: dict[str, Any] = {
        "machine": torch.cuda.get_device_name(0) if device() == "cuda" else platform.platform(),
        "date": datetime.date.today().isoformat(),
        "shape": options.shape,
        "dtype": str(compute_dtype()).removeprefix("torch."),
        "pairs": len(pairs),
        "tokens": sum(len(pair.ids) for pair in pairs),
    }
    ways = {
        "apart": ("apart", HeadSettings(max_length=options.length)),
        "folded": ("folded", HeadSettings(max_length=options.length)),
        "folded, legacy": ("folded", HeadSettings(max_length=options.length, legacy="dear")),
    }
    for name, (form, settings) in ways.items():
        if device() == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        head = head_of(options.shape, form, settings)
        figures[name] = measured(head, pairs, options.rounds, options.batch_tokens)
        del head
    for name, value in figures.items():
        print(f"{name:16} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
