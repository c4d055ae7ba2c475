"""Training in one and in two processes: seconds a step on this machine, and memory a process at real shapes.

    python benchmarks/launch.py [--queries 24] [--steps 6] [--processes 1 2] [--rounds 5]

Seconds are those of the log, from the first step to the last, of one recipe whose step is shared out; each round
trains with each number of processes once, and what they learn has to be equal; `--rounds 0` trains none. One process
has all cores, several share them out; on GPUs each has its own. Memory is computed by the plan of a training on models
without memory (meta tensors), as each process of DDP holds it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
import yaml
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from interank.settings import LoraRecipe
from interank.training.memory import Microbatch
from interank.training.planning import Choice, estimated, gib
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.tiny import tiny_model

# Llama-3.2-3B's, Llama-3.1-8B's and Llama-2-13B's.
SHAPES: dict[str, dict[str, int]] = {
    "3b": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
}
KEYS_AND_VOCABULARY = {"3b": (8, 128256), "8b": (8, 128256), "13b": (40, 32000)}
TOKENS = 8192


def memory() -> list[list[str]]:
    """A row a shape and form: what a process holds."""
    rows = []
    for name, shape in SHAPES.items():
        heads, words = KEYS_AND_VOCABULARY[name]
        config = LlamaConfig(**shape, num_key_value_heads=heads, vocab_size=words)
        with torch.device("meta"):
            model = LlamaForCausalLM(config).to(torch.bfloat16)
        for form in ("none", "nf4"):
            lora = LoraRecipe(rank=64, alpha=64)
            choice = Choice(lora, form, False, "bfloat16", None)  # type: ignore[arg-type]
            made = estimated(model, choice, Microbatch(TOKENS, TOKENS, TOKENS // 4), checkpointing=True)
            trained = sum(
                lora.rank * (each.in_features + each.out_features)
                for path, each in model.named_modules()
                if isinstance(each, torch.nn.Linear) and path != "lm_head"
            )
            # DDP's buckets: a copy of the gradients, which are bfloat16 beside NF4.
            buckets = (2 if form == "nf4" else 4) * trained
            parts = (made.weights, made.adapter, made.activations + made.working, buckets, made.step + buckets)
            rows.append([name, form, *map(gib, parts)])
    return rows


def seconds(folder: Path, processes: int, steps: int, number: int) -> tuple[float, Path]:
    """Of a step, as the log has the whole training; and its output."""
    out = folder / f"of-{processes}-{number}"
    launch = ["--launch", str(processes)] if processes > 1 else []
    command = [sys.executable, "-m", "interank", "distill", str(folder / "recipe.yaml"), "--out", str(out), "--quiet"]
    # As for a user, who leaves threads to torch and to the launch.
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run([*command, *launch], check=True, stdout=subprocess.DEVNULL, env=given)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return float(next(line["train_runtime"] for line in log if "train_runtime" in line)) / steps, out


def apart(one: Path, other: Path) -> float:
    """The largest difference between two adapters' weights."""
    here, there = (load_file(each / "adapter" / "adapter_model.safetensors") for each in (one, other))
    return max(float((here[name] - there[name]).abs().max()) for name in here)


def measure(folder: Path, asked: SimpleNamespace) -> None:
    """Train in rounds, and print the median seconds of a step."""
    taken: dict[int, list[float]] = {each: [] for each in asked.processes}
    widest, first = 0.0, None
    for number in range(asked.rounds):
        for processes in asked.processes:
            found, out = seconds(folder, processes, asked.steps, number)
            taken[processes].append(found)
            first = first or out
            widest = max(widest, apart(first, out))
        print(f"round {number + 1}, load {os.getloadavg()[0]:.1f}: " + ", ".join(f"{taken[n][-1]:.2f}" for n in taken))
    for processes, every in taken.items():
        print(f"{processes}: {median(every):.2f} s a step ({min(every):.2f} to {max(every):.2f})")
    print(f"adapters differ by at most {widest:.1e}")


def prepare(folder: Path, asked: SimpleNamespace) -> None:
    """A model, judgments and a recipe."""
    tiny_model(folder / "model", hidden=256, layers=6)
    judgments_artifact(folder / "judgments", rule.examples(0, queries=asked.queries, documents=6))
    recipe = {
        "stage": "distill",
        "task": "judge",
        "judgments": str(folder / "judgments"),
        "student": str(folder / "model"),
        "questions_per_step": 8,
        "prompt": {"max_length": 300, "max_query_tokens": 60, "max_document_tokens": 60},
        "lora": {"rank": 8, "alpha": 8},
        "validation": {"questions": 0},
        "trainer": {"max_steps": asked.steps, "save_strategy": "no", "gradient_checkpointing": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def main() -> None:
    """Measure, compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    asked = SimpleNamespace(**vars(parser.parse_args()))
    print(f"| shape | weights in | weights | adapter | activations of {TOKENS} tokens | buckets | a process |")
    print("|---|---|---|---|---|---|---|")
    for row in memory():
        print(f"| {' | '.join(row)} |")
    if not asked.rounds:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, asked)
        measure(folder, asked)


if __name__ == "__main__":
    main()
