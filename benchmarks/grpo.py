"""GRPO's update against TRL's on identical stored completions: seconds, peak memory, and how far gradients differ.

    python benchmarks/grpo.py --json FILE
    python benchmarks/grpo.py --shape 135m --layers 8 --prompts 2 --json FILE
    python benchmarks/grpo.py --device cuda --shape 3b --prompts 16 --json FILE

The update is forward, backward and optimizer step of one generation batch. Three sides run in turn, from the same
weights: ours; TRL at equal settings (no gradient checkpointing, no importance correction); and TRL's defaults with
vLLM (gradient checkpointing, and a pass without gradient for the old log-probabilities). Every update's gradients are
compared. Memory is the peak of one update less what is held after loading, in a process of its own for each side.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing

from interank.training.policy import SharedPrefixTrainer

SHAPES = {
    # Small enough to try a benchmark itself.
    "tiny": {
        "vocab_size": 900,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    # 2 of SmolLM2-135M's 30 layers, and a 15th of its vocabulary, so that layers and head stand in its proportion.
    "slice": {
        "vocab_size": 3276,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 2,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    # SmolLM2-135M's.
    "135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    # Llama-3.2-3B's.
    "3b": {
        "vocab_size": 128256,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_theta": 500000.0,
    },
}
# Targets, on a CPU and on an H200: at least so much, or at most.
AT_LEAST = {"update_vs_trl_equal_settings": 2.5, "update_vs_trl_defaults": 4.0}
AT_MOST = {"peak_memory_vs_trl": 0.5}
SIDES = ("ours", "trl", "trl_defaults")
# Relative norm over all adapter tensors; bfloat16 has 8 bits.
TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    """Run the whole benchmark, or as a process of its own one side's memory."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(memory(options, options.memory_of)))
        return
    found = about(options)
    if options.only != "memory":
        found |= timings(options)
    if options.only != "time":
        peaks = {side: memory_apart(side) for side in SIDES}
        found |= {f"peak_bytes_{side}": peak for side, peak in peaks.items()}
        found["peak_memory_vs_trl"] = round(peaks["ours"] / peaks["trl"], 3)
    found["goals_missed"] = [name for name, goal in AT_LEAST.items() if found.get(name, goal) < goal]
    found["goals_missed"] += [name for name, goal in AT_MOST.items() if found.get(name, goal) > goal]
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
    parser.add_argument("--layers", type=int, help="so many of its layers, and as large a part of its vocabulary")
    parser.add_argument("--only", choices=("time", "memory"), help="leave the other out")
    parser.add_argument("--prompts", type=int, default=1, help="prompts of one update")
    parser.add_argument("--prompts-together", type=int, default=1, help="prompts of one microbatch")
    parser.add_argument("--prompt", type=int, default=768, help="tokens of a prompt")
    parser.add_argument("--query", type=int, default=0, help="tokens that all prompts begin with")
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--completion", type=int, default=192, help="tokens of a completion")
    parser.add_argument("--repeats", type=int, default=5, help="updates of each side that are timed")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    parser.add_argument("--memory-of", choices=SIDES, help="print one side's memory only")
    return parser.parse_args()


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Where, when and on what."""
    return {
        "machine": machine(options),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "shape": options.shape,
        "layers": shape_of(options)["num_hidden_layers"],
        "prompts": options.prompts,
        "prompts_together": options.prompts_together,
        "prompt_tokens": options.prompt,
        "query_tokens": options.query,
        "group": options.group,
        "completion_tokens": options.completion,
        "repeats": options.repeats,
        "load_before": round(os.getloadavg()[0], 2),
    }


def shape_of(options: argparse.Namespace) -> dict[str, Any]:
    """The shape asked for; with fewer layers the vocabulary shrinks too, so that both stand in proportion."""
    shape: dict[str, Any] = dict(SHAPES[options.shape])
    if options.layers:
        shape["vocab_size"] = shape["vocab_size"] * options.layers // shape["num_hidden_layers"]
        shape["num_hidden_layers"] = options.layers
    return shape


def machine(options: argparse.Namespace) -> str:
    """The processor that computes, and torch's version."""
    if options.device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(": ")[2] if names else platform.processor()
    return f"{name}, {options.threads} threads, torch {torch.__version__}"


class Stored:
    """A rollout function with the same completions for every side."""

    def __init__(self, options: argparse.Namespace, vocabulary: int) -> None:
        draw = random.Random(0)

        def ids(number: int) -> list[int]:
            return [draw.randrange(10, vocabulary) for _ in range(number)]

        query = ids(options.query)
        self.prompts = [query + ids(options.prompt - options.query) for _ in range(options.prompts)]
        self.completions = [[ids(options.completion) for _ in range(options.group)] for _ in range(options.prompts)]

    def __call__(self, numbers: list[str], trainer: Any) -> dict[str, Any]:
        """One completion for each row."""
        left = {number: iter(self.completions[int(number)]) for number in set(numbers)}
        return {
            "prompt_ids": [self.prompts[int(number)] for number in numbers],
            "completion_ids": [next(left[number]) for number in numbers],
            "logprobs": None,
        }


def reward(*, completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Anything that differs within a group."""
    return [sum(ids) % 97 / 97 for ids in completion_ids]


def trainer_of(options: argparse.Namespace, side: str, folder: str) -> GRPOTrainer:
    """A side's trainer on its own model: the same weights for each, LoRA's B not zero."""
    torch.manual_seed(0)
    cuda = options.device == "cuda"
    config = LlamaConfig(**shape_of(options), max_position_embeddings=4096, tie_word_embeddings=True)
    with torch.device(options.device):
        base = LlamaForCausalLM._from_config(
            config, dtype=torch.bfloat16 if cuda else torch.float32, attn_implementation="sdpa"
        )
    lora = LoraConfig(r=64, lora_alpha=64, target_modules=TARGETS)
    model = get_peft_model(base, lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    settings = GRPOConfig(
        output_dir=folder,
        use_cpu=not cuda,
        bf16=cuda,
        num_generations=options.group,
        per_device_train_batch_size=options.group * options.prompts_together,
        gradient_accumulation_steps=options.prompts // options.prompts_together,
        max_completion_length=options.completion,
        gradient_checkpointing=side == "trl_defaults",
        shuffle_dataset=False,
        report_to="none",
        disable_tqdm=True,
    )
    stored = Stored(options, config.vocab_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
        trainer = (SharedPrefixTrainer if side == "ours" else GRPOTrainer)(
            model=model,
            args=settings,
            reward_funcs=[reward],
            train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(options.prompts)]),
            processing_class=tokenizer(),
            rollout_func=stored,
        )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = settings.gradient_accumulation_steps
    return trainer


def tokenizer() -> PreTrainedTokenizerFast:
    """What TRL insists on; prompts and completions are ids already."""
    words = {"<end>": 0, "<unknown>": 1}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", pad_token="<end>", unk_token="<unknown>"
    )


@dataclass
class Side:
    """A trainer, its stored microbatches and its optimizer."""

    name: str
    trainer: GRPOTrainer
    batches: list[dict[str, Any]]
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, options: argparse.Namespace, name: str, folder: str) -> Side:
        """Load a model and its trainer, and store what it trains on."""
        trainer = trainer_of(options, name, folder)
        [rows] = list(trainer.get_train_dataloader())[:1]
        batches = []
        for _ in range(trainer.args.gradient_accumulation_steps):
            batches.append(trainer._prepare_inputs(rows))
            trainer._step += 1
        optimizer = torch.optim.AdamW(weights(trainer), lr=1e-6)
        return cls(name, trainer, batches, optimizer)

    def update(self) -> torch.Tensor:
        """One optimizer step; its gradients, in one row."""
        trainer = self.trainer
        self.optimizer.zero_grad()
        for batch in self.batches:
            inputs = {**batch}
            if self.name == "trl_defaults":
                inputs["old_per_token_logps"] = old_logps(trainer, batch)
            trainer.compute_loss(trainer.model, inputs).backward()
        found = torch.cat([weight.grad.flatten() for weight in weights(trainer)])
        self.optimizer.step()
        return found


def weights(trainer: GRPOTrainer) -> list[Any]:
    """What is trained."""
    return [weight for weight in trainer.model.parameters() if weight.requires_grad]


def old_logps(trainer: GRPOTrainer, batch: dict[str, Any]) -> torch.Tensor:
    """The pass without gradient that TRL makes when vLLM has generated."""
    completions = batch["completion_ids"]
    with torch.no_grad(), disable_gradient_checkpointing(trainer.model, trainer.args.gradient_checkpointing_kwargs):
        found: torch.Tensor = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([batch["prompt_ids"], completions], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            completions.size(1),
        )[0]
    return found


def timings(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each side, in turn, the first round unmeasured; ratios are of medians."""
    wall: dict[str, list[float]] = {side: [] for side in SIDES}
    busy: dict[str, list[float]] = {side: [] for side in SIDES}
    errors = []
    with tempfile.TemporaryDirectory() as folder:
        sides = [Side.of(options, name, folder) for name in SIDES]
        for number in range(options.repeats + 1):
            gradients = {}
            for side in sides:
                synchronise(options)
                began, worked = time.perf_counter(), time.process_time()
                gradients[side.name] = side.update()
                synchronise(options)
                if number:
                    wall[side.name].append(time.perf_counter() - began)
                    busy[side.name].append(time.process_time() - worked)
            errors += [relative(gradients[side], gradients["ours"]) for side in SIDES[1:]]
            print(f"round {number}: seconds {wall}, of the processor {busy}, {errors[-2:]}", file=sys.stderr)
    worst = max(errors)
    assert worst <= TOLERANCE[options.device], f"gradients differ by {worst}"
    found: dict[str, Any] = {}
    for name, other in (("equal_settings", "trl"), ("defaults", "trl_defaults")):
        found[f"update_vs_trl_{name}"] = round(statistics.median(wall[other]) / statistics.median(wall["ours"]), 2)
        # Other work on the machine takes wall-clock time, but hardly any of this process's.
        ratio = statistics.median(busy[other]) / statistics.median(busy["ours"])
        found[f"update_vs_trl_{name}_cpu_seconds"] = round(ratio, 2)
    found["max_gradient_error"] = worst
    for side in SIDES:
        found[f"seconds_{side}"] = round(statistics.median(wall[side]), 3)
        found[f"seconds_{side}_range"] = f"{min(wall[side]):.3f}-{max(wall[side]):.3f}"
    return found


def relative(expected: torch.Tensor, found: torch.Tensor) -> float:
    """The relative norm of a difference, over all adapter tensors."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def synchronise(options: argparse.Namespace) -> None:
    """Wait for the accelerator."""
    if options.device == "cuda":
        torch.cuda.synchronize()


def memory_apart(side: str) -> int:
    """Bytes that a side's update takes, measured in a process of its own with the same options."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def memory(options: argparse.Namespace, name: str) -> int:
    """Peak bytes during an update less those held after loading."""
    with tempfile.TemporaryDirectory() as folder:
        side = Side.of(options, name, folder)
        if options.device == "cuda":
            torch.cuda.synchronize()
            held = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            side.update()
            return torch.cuda.max_memory_allocated() - held
        # Resets the peak to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
        held = status("VmRSS")
        side.update()
        return status("VmHWM") - held


def status(key: str) -> int:
    """A line of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
