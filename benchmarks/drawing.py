"""Time of choosing the next token of every text: the race that a CPU runs beside the inverse that other devices run.

    python benchmarks/drawing.py [--texts 64] [--vocabulary 128256] [--rounds 20] [--device cpu] [--json FILE]

The race draws an exponential variate for each token of the vocabulary on the CPU, so on other devices the probabilities
were copied there; the inverse draws one number a text. Both run on the device that is given, in turn, after one round
that does not count. `processor` are seconds of the CPU's work, all threads together; `moved` the bytes a token that go
between the device and the CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from interank.engines.drawing import inverse


def raced(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As on a CPU, the probabilities copied to it."""
    chance = torch.empty(logits.shape).exponential_(generator=generator)
    return (logits.softmax(-1).cpu() / chance).argmax(-1).to(logits.device)


def inverted(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As on other devices."""
    numbers = torch.rand(len(logits), dtype=torch.float64, generator=generator)
    return inverse(logits.softmax(-1), numbers.to(logits.device))


def timed(choose: Callable[[], torch.Tensor]) -> tuple[float, float]:
    """Seconds of the wall and of the processor until the tokens are known."""
    wall, processor = time.perf_counter(), time.process_time()
    choose().tolist()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(options.texts, options.vocabulary, generator=generator).to(options.device) * 4
    ways = {"race": raced, "inverse": inverted}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, way in ways.items():
            seconds[name].append(timed(lambda way=way: way(logits, generator)))  # type: ignore[misc]
    moved = {"race": logits.numel() * 4 + options.texts * 8, "inverse": options.texts * 16}
    figures = {
        name: {
            "seconds": round(median(wall for wall, _ in found[1:]), 5),
            "processor": round(median(used for _, used in found[1:]), 5),
            "moved": moved[name],
        }
        for name, found in seconds.items()
    }
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
