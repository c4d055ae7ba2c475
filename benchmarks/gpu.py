"""Everything that only a GPU can tell, in one command of at most 8 minutes: nothing is fetched, weights are random.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --shape tiny --device cpu --json tiny.json

Run it from the repository's root on one GPU of 80 GB or more. Parts run in the order of their worth, each in a process
of its own with what is left of the time: one that fails leaves its last words in `PART_error`, and the rest goes on.
The second command tries the script itself, anywhere, in under two minutes of a free core.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MINUTES = 8.0
# Seconds that a part may take of eight minutes, and of more or fewer in proportion.
MOST = {"tree": 90, "distill": 110, "distill_nf4": 80, "grpo": 100, "score": 60, "reason": 60, "end_to_end": 150}
PREFIX, DOCUMENT, SUFFIX, WRITTEN = 310, (150, 550), 40, 64
# Whose size the small model of the stages end to end has: SmolLM2-135M's on a GPU.
SMALL = {"cuda": "135m", "cpu": "tiny"}


def main() -> None:
    """Run all parts, or as a process of its own one of them."""
    options = arguments()
    if options.part:
        part = {"score": score, "reason": reason, "end_to_end": end_to_end}[options.part]
        print(json.dumps(part(options)))
        return
    found = about(options)
    end = time.monotonic() + 60 * options.minutes
    for name, command in commands(options).items():
        if name in options.only:
            most = MOST[name] * options.minutes / MINUTES
            found |= fenced(name, command, min(most, end - time.monotonic()))
            print(f"{name}: done, {end - time.monotonic():.0f} s left", file=sys.stderr)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--shape", choices=("tiny", "135m", "3b"), default="3b", help="a Llama of this shape")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all parts together")
    parser.add_argument("--only", nargs="+", choices=MOST, default=list(MOST), metavar="PART")
    parser.add_argument("--part", choices=("score", "reason", "end_to_end"), help=argparse.SUPPRESS)
    return parser.parse_args()


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Where, when and with what."""
    versions = {
        f"{name}_version": importlib.metadata.version(name) for name in ("torch", "transformers", "trl", "peft")
    }
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": options.device,
        "shape": options.shape,
        "minutes": options.minutes,
        **versions,
    }


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """Each part's command, in the order of their worth."""
    where = ["--device", options.device, "--shape", options.shape]
    small = options.device == "cpu"
    few = ["--questions", "2", "--repeats", "1"] if small else ["--questions", "8", "--repeats", "3"]
    update = ["--prompt", "64", "--group", "2", "--completion", "16", "--repeats", "1"] if small else ["--repeats", "3"]
    own = [str(HERE / "gpu.py"), *where, "--part"]
    return {
        "tree": [str(HERE / "tree.py"), *where],
        "distill": [str(HERE / "sft.py"), *where, *few, "--sides", "ours"],
        "distill_nf4": [str(HERE / "sft.py"), *where, *few, "--sides", "ours", "--nf4"],
        "grpo": [str(HERE / "grpo.py"), *where, *update, "--only", "time", "--prompts", "1"],
        "score": [*own, "score"],
        "reason": [*own, "reason"],
        "end_to_end": [*own, "end_to_end"],
    }


def fenced(name: str, command: Sequence[str], seconds: float) -> dict[str, Any]:
    """A part's figures under its name, or what ended it."""
    if seconds <= 5:
        return {f"{name}_error": "no time was left"}
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        with (
            told.open("w") as errors,
            subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            ) as running,
        ):
            try:
                output, _ = running.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                return {f"{name}_error": f"not done after {seconds:.0f} s"}
        if running.returncode:
            return {f"{name}_error": told.read_text("utf-8", "replace")[-600:]}
    figures = json.loads(output[output.index("{") :])
    return {f"{name}_{key}": value for key, value in figures.items()} | {
        f"{name}_part_seconds": round(time.monotonic() - began, 1)
    }


def model_of(options: argparse.Namespace) -> Any:
    """A Llama of the shape, made on the device."""
    import torch
    from grpo import SHAPES
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[options.shape], max_position_embeddings=4096, tie_word_embeddings=True)
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    with torch.device(options.device):
        return LlamaForCausalLM._from_config(config, dtype=dtype, attn_implementation="sdpa").eval()


def prompts_of(options: argparse.Namespace, number: int, vocabulary: int) -> list[Any]:
    """Prompts of one query with documents of BRIGHT's lengths, of random ids."""
    from interank.engines.prompts import Prompt

    draw = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(10, vocabulary) for _ in range(count // (1 if options.device == "cuda" else 8)))

    prefix, suffix = ids(PREFIX), ids(SUFFIX)
    return [Prompt(prefix, ids(draw.randint(*DOCUMENT)), suffix) for _ in range(number)]


def timed(options: argparse.Namespace, work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The median of seconds after a round that is not counted, and what came out."""
    import torch

    seconds, outcome = [], None
    for number in range(repeats + 1):
        began = time.perf_counter()
        outcome = work()
        if options.device == "cuda":
            torch.cuda.synchronize()
        if number:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), outcome


def matmul_rate(options: argparse.Namespace) -> float:
    """Operations a second of one large product, in the type that models run in here."""
    import torch

    size = 8192 if options.device == "cuda" else 512
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    left = torch.randn(size, size, device=options.device, dtype=dtype)
    seconds, _ = timed(options, lambda: [left @ left for _ in range(10)])
    return 10 * 2 * size**3 / seconds


def score(options: argparse.Namespace) -> dict[str, Any]:
    """A hundred documents' grades at once, beside padded batches of 16 that compute the whole head's last row."""
    import torch

    from interank.engines.transformers import TransformersEngine

    model = model_of(options)
    engine, labels = TransformersEngine(model), (5, 6, 7)
    prompts = prompts_of(options, 100, model.config.vocab_size)

    @torch.inference_mode()
    def batched() -> list[list[float]]:
        found = []
        for start in range(0, len(prompts), 16):
            rows = [prompt.ids for prompt in prompts[start : start + 16]]
            longest = max(map(len, rows))
            ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=options.device)
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=options.device)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1).logits[:, -1]
            found += logits.float()[:, list(labels)].tolist()
        return found

    seconds, ours = timed(options, lambda: engine.label_logits(prompts, labels))
    theirs_seconds, theirs = timed(options, batched)
    before = engine.work
    engine.label_logits(prompts, labels)
    operations, rate = engine.flops(engine.work - before), matmul_rate(options)
    assert operations is not None
    worst = max(abs(a - b) for one, two in zip(ours, theirs, strict=True) for a, b in zip(one.logits, two, strict=True))
    return {
        "documents_per_second": round(len(prompts) / seconds, 2),
        "padded_documents_per_second": round(len(prompts) / theirs_seconds, 2),
        "vs_padded": round(theirs_seconds / seconds, 2),
        "matmul_operations_per_second": rate,
        "share_of_matmul": round(operations / seconds / rate, 3),
        "max_logit_difference": worst,
        **peak(options),
    }


def reason(options: argparse.Namespace) -> dict[str, Any]:
    """A hundred explanations of a fixed length, written together."""
    from interank.engines.protocol import Sampling
    from interank.engines.transformers import TransformersEngine

    model = model_of(options)
    engine = TransformersEngine(model)
    number, written = (100, WRITTEN) if options.device == "cuda" else (8, 8)
    prompts = prompts_of(options, number, model.config.vocab_size)
    # No token ends what is written, so that all are as long.
    seconds, found = timed(options, lambda: engine.generate(prompts, Sampling(written), end=-1), repeats=1)
    tokens = sum(len(item.ids) for item in found)
    return {
        "tokens_written": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "documents_per_second": round(number / seconds, 2),
        **peak(options),
    }


def peak(options: argparse.Namespace) -> dict[str, int]:
    """The device's most allocated bytes."""
    import torch

    return {"peak_bytes": torch.cuda.max_memory_allocated()} if options.device == "cuda" else {}


def end_to_end(options: argparse.Namespace) -> dict[str, Any]:
    """`interank distill` and `rl` on a small model, each killed at its first checkpoint and resumed."""
    from grpo import SHAPES

    from tests.support import rule
    from tests.support.artifacts import judgments_artifact
    from tests.support.tiny import tiny_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = SHAPES[SMALL[options.device]]
        model = tiny_model(folder / "model", hidden=shape["hidden_size"] // 64 * 64, layers=shape["num_hidden_layers"])
        judgments = judgments_artifact(folder / "judgments", rule.examples(0, queries=24, documents=4))
        lengths = ["prompt.max_length=300", "prompt.max_query_tokens=60", "prompt.max_document_tokens=60"]
        common = [f"judgments={judgments}", "trainer.save_steps=2", "validation.every=2", "validation.questions=2"]
        student, policy = folder / "student", folder / "policy"
        distill = ["distill", "distill/smollm2", f"student={model}", *lengths, *common, "trainer.max_steps=6"]
        rl = ["rl", "rl/smollm2", f"adapter={student}", *common, "trainer.max_steps=4", "max_completion_tokens=24"]
        return {
            f"{stage[0]}_{key}": value
            for stage, out in ((distill, student), (rl, policy))
            for key, value in killed_and_resumed(stage, out).items()
        }


def killed_and_resumed(stage: Sequence[str], out: Path) -> dict[str, Any]:
    """Seconds of a stage that was killed when its first checkpoint stood, and of the rest.

    Raises:
        RuntimeError: It ended by itself before it could be killed, or could not be resumed.
    """
    command = [sys.executable, "-m", "interank.cli.app", *stage, "--out", str(out)]
    checkpoints = out.with_name(f".{out.name}.partial") / "work" / "checkpoints"
    began = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        while running.poll() is None and not [*checkpoints.glob("checkpoint-*/trainer_state.json")]:
            time.sleep(0.05)
        running.kill()
        _, told = running.communicate()
    if running.returncode != -signal.SIGKILL:
        raise RuntimeError(f"{stage[0]} ended before it was killed: {told[-500:]}")
    killed = time.monotonic()
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    if resumed.returncode:
        raise RuntimeError(f"{stage[0]} could not be resumed: {resumed.stderr[-500:]}")
    steps = json.loads((out / "manifest.json").read_text("utf-8"))["counts"]["steps"]
    return {
        "seconds_until_killed": round(killed - began, 1),
        "seconds_resumed": round(time.monotonic() - killed, 1),
        "steps": steps,
    }


if __name__ == "__main__":
    main()
