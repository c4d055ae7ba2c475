"""Distillation's update against TRL's SFTTrainer on the same judgments: tokens a second, losses, memory, utilisation.

    python benchmarks/sft.py --json FILE
    python benchmarks/sft.py --device cuda --shape 3b --gigabytes 80 --json FILE
    python benchmarks/sft.py --device cuda --shape 3b --gigabytes 24 --json FILE

The update is forward and backward of one optimizer step over all questions, each with 4 to 6 documents, of log-normal
lengths. Four sides run in turn, from the same weights: ours; TRL with its defaults (padded rows in shuffled batches of
8, gradient checkpointing); TRL at equal settings (no checkpointing, our batches); TRL's own packing. Tokens are counted
as if nothing were shared, so that they are the same for all. Every side's loss is compared with ours.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from datasets import Dataset
from grpo import SHAPES, TARGETS, machine, status, synchronise, tokenizer
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from interank.settings import LoraRecipe
from interank.settings.student import LossRecipe
from interank.training.planning import Choice, estimated
from interank.training.rows import Group, Row
from interank.training.sft import largest_microbatch
from interank.training.student import StudentTrainer

SIDES = ("ours", "trl", "trl_equal", "trl_packing")
# Medians and spread of lengths in tokens: a coefficient of variation of 0.7 is what posts have.
INSTRUCTION, SUFFIX = 90, 40
QUERY, DOCUMENT, ANSWER = 130, 260, 60
SIGMA = 0.63
LONGEST = 1400
PACKED = 2048
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}
# Peak bfloat16 matrix products without sparsity, by what the device calls itself, in 1e12 operations a second.
PEAK = {"A100": 312, "H100": 989, "H200": 989}


def main() -> None:
    """Run the benchmark."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.device == "cuda" and options.gigabytes:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, options.gigabytes * 1e9 / total))
    groups = questions(options)
    found = {**about(options, groups), **measured(options, groups), "planned_bytes": planned(options, groups)}
    found["load_after"] = round(os.getloadavg()[0], 2)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda runs in bfloat16")
    parser.add_argument("--shape", choices=SHAPES, default="slice", help="a Llama of this shape, with random weights")
    parser.add_argument("--questions", type=int, default=8, help="of one update")
    parser.add_argument("--together", type=int, default=2, help="questions of one of our microbatches")
    parser.add_argument("--repeats", type=int, default=5, help="updates of each side that are timed")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    parser.add_argument("--gigabytes", type=float, help="hold the process to so much of the GPU's memory")
    parser.add_argument("--checkpointing", action="store_true", help="for ours and trl_equal; 24 GB may need it")
    parser.add_argument("--nf4", action="store_true", help="base weights in 4 bits, made from those of the device")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    return parser.parse_args()


def questions(options: argparse.Namespace) -> list[Group]:
    """Questions with their documents, rows as `distill` makes them; ids are random."""
    draw = random.Random(0)
    vocabulary = SHAPES[options.shape]["vocab_size"]

    def ids(number: int) -> tuple[int, ...]:
        return tuple(draw.randrange(10, vocabulary) for _ in range(number))

    def length(median: int) -> int:
        return min(LONGEST, max(8, round(draw.lognormvariate(0, SIGMA) * median)))

    instruction, suffix = ids(INSTRUCTION), ids(SUFFIX)
    groups = []
    for _ in range(options.questions):
        prefix = instruction + ids(length(QUERY))
        groups.append(
            tuple(
                Row("explain", prefix + ids(length(DOCUMENT)) + suffix, ids(length(ANSWER)), grade_at=0)
                for _ in range(draw.randint(4, 6))
            )
        )
    return groups


def about(options: argparse.Namespace, groups: Sequence[Group]) -> dict[str, Any]:
    """Where, when and on what."""
    rows = [row for group in groups for row in group]
    return {
        "machine": machine(options),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "shape": options.shape,
        "gigabytes": options.gigabytes,
        "checkpointing": options.checkpointing,
        "nf4": options.nf4,
        "questions": len(groups),
        "rows": len(rows),
        "tokens": sum(len(row.input_ids) for row in rows),
        "answer_tokens": sum(len(row.answer) for row in rows),
        "repeats": options.repeats,
        "load_before": round(os.getloadavg()[0], 2),
    }


@dataclass
class Side:
    """A trainer with the microbatches of one optimizer step."""

    trainer: Any
    batches: list[dict[str, Any]]
    number: Any

    def update(self) -> float:
        """Forward and backward of all microbatches; the step's loss."""
        self.trainer.model.zero_grad(set_to_none=True)
        self.trainer.current_gradient_accumulation_steps = len(self.batches)
        losses = [
            self.trainer.training_step(self.trainer.model, dict(batch), num_items_in_batch=self.number)
            for batch in self.batches
        ]
        return float(sum(losses))


def side_of(options: argparse.Namespace, name: str, groups: Sequence[Group], folder: str) -> Side:
    """A side on its own model, the same weights for each."""
    rows = [row for group in groups for row in group]
    data = Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
    checkpointing = {"trl": True, "trl_packing": False}.get(name, options.checkpointing)
    if name == "ours":
        trainer: Any = StudentTrainer(
            model=model_of(options),
            args=settings(options, folder, checkpointing, options.together),
            processing_class=tokenizer(),
            groups=groups,
            label_ids=(2, 3, 4),
            weights=LossRecipe(),
            shared_prefix=True,
            trial=None,
        )
        batches = [trainer.data_collator([{"group": n} for n in part]) for part in cut(options, groups)]
    elif name == "trl_packing":
        more = {"packing": True, "max_length": PACKED, "dataset_kwargs": None}
        trainer = SFTTrainer(
            model=model_of(options),
            args=settings(options, folder, checkpointing, 1, **more),
            train_dataset=data,
            processing_class=tokenizer(),
        )
        batches = list(trainer.get_train_dataloader())
    else:
        trainer = SFTTrainer(
            model=model_of(options),
            args=settings(options, folder, checkpointing, 8),
            train_dataset=data,
            processing_class=tokenizer(),
        )
        batches = list(trainer.get_train_dataloader()) if name == "trl" else equal(options, trainer, groups)
    trainer.model.train()
    batches, number = trainer.get_batch_samples(iter(batches), len(batches), trainer.accelerator.device)
    return Side(trainer, batches, number)


def cut(options: argparse.Namespace, groups: Sequence[Group]) -> list[range]:
    """Which questions stand in one of our microbatches."""
    return [
        range(start, min(start + options.together, len(groups))) for start in range(0, len(groups), options.together)
    ]


def equal(options: argparse.Namespace, trainer: Any, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """TRL's padded batches of the very rows that ours hold."""
    return [
        trainer.data_collator(
            [{"input_ids": row.input_ids, "labels": row.labels} for number in part for row in groups[number]]
        )
        for part in cut(options, groups)
    ]


def model_of(options: argparse.Namespace) -> Any:
    """A Llama of the shape with an adapter whose B is not zero."""
    torch.manual_seed(0)
    cuda = options.device == "cuda"
    config = LlamaConfig(**SHAPES[options.shape], max_position_embeddings=4096, tie_word_embeddings=True)
    with torch.device(options.device):
        base = LlamaForCausalLM._from_config(
            config, dtype=torch.bfloat16 if cuda else torch.float32, attn_implementation="sdpa"
        )
    if options.nf4:
        quantise(base, options.device)
    model = get_peft_model(base, LoraConfig(r=64, lora_alpha=64, target_modules=TARGETS))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    return model


def quantise(base: Any, device: str) -> None:
    """Put bitsandbytes' NF4 in the place of the layers' matrices."""
    for layer in base.model.layers:
        for module in (layer.self_attn, layer.mlp):
            for name, plain in list(module.named_children()):
                if isinstance(plain, torch.nn.Linear):
                    packed = bnb.nn.Linear4bit(
                        plain.in_features, plain.out_features, bias=False, compute_dtype=base.dtype, device="meta"
                    )
                    packed.weight = bnb.nn.Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4")
                    setattr(module, name, packed.to(device))
    base.is_loaded_in_4bit = True


def planned(options: argparse.Namespace, groups: Sequence[Group]) -> int:
    """The bytes that `distill` would estimate for our side."""
    largest = largest_microbatch(groups, {"per_device_train_batch_size": options.together}, shared_prefix=True)
    config = LlamaConfig(**SHAPES[options.shape], tie_word_embeddings=True)
    with torch.device("meta"):
        base = LlamaForCausalLM._from_config(
            config, dtype=torch.bfloat16 if options.device == "cuda" else torch.float32
        )
    choice = Choice(LoraRecipe(rank=64), "nf4" if options.nf4 else "none", True, "auto", options.checkpointing)
    return estimated(base, choice, largest, checkpointing=options.checkpointing).step


def settings(options: argparse.Namespace, folder: str, checkpointing: bool, batch: int, **more: Any) -> SFTConfig:
    """TRL's settings; what is not named is its default."""
    cuda = options.device == "cuda"
    given: dict[str, Any] = {
        "output_dir": folder,
        "use_cpu": not cuda,
        "bf16": cuda,
        "per_device_train_batch_size": batch,
        "gradient_checkpointing": checkpointing,
        "max_length": None,
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "report_to": "none",
        "disable_tqdm": True,
        **more,
    }
    return SFTConfig(**given)


def measured(options: argparse.Namespace, groups: Sequence[Group]) -> dict[str, Any]:
    """Seconds of each side, in turn, the first round unmeasured; ratios are of medians."""
    wall: dict[str, list[float]] = {side: [] for side in options.sides}
    busy: dict[str, list[float]] = {side: [] for side in options.sides}
    losses: dict[str, float] = {}
    peaks: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # One model at a time where memory is what is looked at.
        apart = options.device == "cuda"
        sides = {} if apart else {name: side_of(options, name, groups, folder) for name in options.sides}
        if apart:
            for name in options.sides:
                side = side_of(options, name, groups, folder)
                for number in range(options.repeats + 1):
                    losses[name] = timed(options, side.update, wall[name], busy[name], keep=number > 0)
                peaks[name] = torch.cuda.max_memory_allocated()
                del side
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
        for number in range(0 if apart else options.repeats + 1):
            for name, side in sides.items():
                losses[name] = timed(options, side.update, wall[name], busy[name], keep=number > 0)
            print(f"round {number}: seconds {wall}, losses {losses}", file=sys.stderr)
    return figures(options, groups, wall, busy, losses) | {f"peak_bytes_{name}": peak for name, peak in peaks.items()}


def timed(
    options: argparse.Namespace, update: Callable[[], float], wall: list[float], busy: list[float], *, keep: bool
) -> float:
    """Run an update and note its seconds."""
    synchronise(options)
    began, worked = time.perf_counter(), time.process_time()
    loss = update()
    synchronise(options)
    if keep:
        wall.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    return loss


def figures(
    options: argparse.Namespace,
    groups: Sequence[Group],
    wall: dict[str, list[float]],
    busy: dict[str, list[float]],
    losses: dict[str, float],
) -> dict[str, Any]:
    """Ratios, losses, and on a GPU how much of it was used."""
    rows = [row for group in groups for row in group]
    tokens = sum(len(row.input_ids) for row in rows)
    found: dict[str, Any] = {}
    names = {"trl": "tokens_vs_trl", "trl_equal": "tokens_vs_trl_equal", "trl_packing": "tokens_vs_trl_packing"}
    for side, name in names.items():
        if side in wall:
            found[name] = round(statistics.median(wall[side]) / statistics.median(wall["ours"]), 2)
            # Other work on the machine takes wall-clock time, but hardly any of this process's.
            ratio = statistics.median(busy[side]) / statistics.median(busy["ours"])
            found[f"{name}_cpu_seconds"] = round(ratio, 2)
    worst = max(abs(loss - losses["ours"]) for loss in losses.values())
    found["max_loss_difference"] = worst
    assert worst <= TOLERANCE[options.device], f"losses differ: {losses}"
    for side, seconds in wall.items():
        median = statistics.median(seconds)
        found[f"seconds_{side}"] = round(median, 3)
        found[f"seconds_{side}_range"] = f"{min(seconds):.3f}-{max(seconds):.3f}"
        found[f"tokens_per_second_{side}"] = round(tokens / median, 1)
        if options.device == "cuda":
            used = useful_flops(options, rows) / median / 1e12
            found[f"tflops_{side}"] = round(used, 1)
            peak = next((value for name, value in PEAK.items() if name in torch.cuda.get_device_name()), None)
            found[f"utilisation_{side}"] = round(used / peak, 3) if peak else None
    if options.device == "cpu":
        found["peak_bytes_process"] = status("VmHWM")
    return found


def useful_flops(options: argparse.Namespace, rows: Sequence[Row]) -> float:
    """Operations that the rows need if nothing is shared or computed twice, the base's weights being frozen.

    By token: 4 for each weight of the linear layers, 6 for each of the adapter's, 4 for each of the head's where a
    label is, and 6 for each attended place and channel of attention.
    """
    shape = SHAPES[options.shape]
    hidden, inner, layers = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    size = shape.get("head_dim", hidden // shape["num_attention_heads"])
    queries, keys = shape["num_attention_heads"] * size, shape["num_key_value_heads"] * size
    shapes = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)]
    shapes += [(hidden, inner), (hidden, inner), (inner, hidden)]
    linear = layers * sum(a * b for a, b in shapes)
    adapter = layers * sum(64 * (a + b) for a, b in shapes)
    tokens = sum(len(row.input_ids) for row in rows)
    attended = sum(len(row.input_ids) ** 2 / 2 for row in rows)
    labels = sum(len(row.answer) for row in rows)
    body = tokens * (4 * linear + 6 * adapter) + attended * 6 * 2 * queries * layers
    return float(body + labels * 4 * hidden * shape["vocab_size"])


if __name__ == "__main__":
    main()
