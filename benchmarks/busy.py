"""How long OpenMP's threads wait before they sleep: as interank has it, by default, and not at all; idle and busy.

    python benchmarks/busy.py --json FILE
    python benchmarks/busy.py --busy 5 --json FILE

Each side is a process of its own, since OpenMP reads its environment when torch loads it. All do the same in turn:
small products, and forward and backward passes of a small Llama; what they compute has to be equal. With `--busy N` so
many other processes run in a loop meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIDES: dict[str, dict[str, str]] = {
    "default": {},
    "brief": {"GOMP_SPINCOUNT": "100000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
SAID_BY = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
WORK = ("products", "steps")
PRODUCTS = 400


def main() -> None:
    """Run all sides in turn, or one side's work when it is asked for on its standard input."""
    options = arguments()
    if options.worker:
        work(options)
        return
    found = measured(options)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="run so many other processes meanwhile")
    parser.add_argument(
        "--rounds", type=int, default=7, help="times that each side does each work, at least 5 to quote"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each side")
    parser.add_argument("--steps", type=int, default=10, help="passes of the small model in one round")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each side and work, in turn, the first round unmeasured; outputs compared."""
    seconds: dict[str, list[float]] = {f"{name}_{side}": [] for name in WORK for side in SIDES}
    load = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        sides = {side: stack.enter_context(worker(options, given)) for side, given in SIDES.items()}
        for _ in range(options.busy):
            stack.enter_context(process([sys.executable, "-c", "while True: pass"], {}))
        for number in range(options.rounds + 1):
            for name in WORK:
                answers = {side: asked(one, name) for side, one in sides.items()}
                digests = {answer["digest"] for answer in answers.values()}
                assert len(digests) == 1, f"{name}: the sides computed different numbers"
                for side, answer in answers.items():
                    if number:
                        seconds[f"{name}_{side}"].append(answer["seconds"])
    found: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "threads": options.threads,
        "busy": options.busy,
        "rounds": options.rounds,
        "load_before": round(load, 2),
    }
    for name, each in seconds.items():
        found[f"seconds_{name}"] = round(statistics.median(each), 4)
        found[f"seconds_{name}_range"] = f"{min(each):.4f}-{max(each):.4f}"
    for name in WORK:
        for side in ("brief", "passive"):
            ratio = found[f"seconds_{name}_default"] / found[f"seconds_{name}_{side}"]
            found[f"{name}_{side}_vs_default"] = round(ratio, 3)
    return found


def machine() -> str:
    """The processor."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0].partition(': ')[2] if names else 'unknown'}, {os.cpu_count()} cores"


@contextlib.contextmanager
def process(command: list[str], given: dict[str, str]) -> Iterator[Any]:
    """A process that is ended with the benchmark; nothing in its environment says how threads wait but `given`."""
    environment = {name: value for name, value in os.environ.items() if name not in SAID_BY}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={**environment, **given}, stdin=pipe, stdout=pipe, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def worker(options: argparse.Namespace, given: dict[str, str]) -> contextlib.AbstractContextManager[Any]:
    """A side."""
    own = ["--worker", "--threads", str(options.threads), "--steps", str(options.steps)]
    return process([sys.executable, __file__, *own], given)


def asked(side: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """What a side answers when it has done this work."""
    assert side.stdin is not None
    assert side.stdout is not None
    side.stdin.write(f"{name}\n")
    side.stdin.flush()
    answer: dict[str, Any] = json.loads(side.stdout.readline())
    return answer


def work(options: argparse.Namespace) -> None:
    """Do what is asked, line by line, and answer with seconds and a digest of the outcome."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    left, right = torch.randn(64, 576), torch.randn(576, 576) / 24
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=900, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4)
    )
    ids = torch.randint(0, 900, (4, 64))

    def products() -> torch.Tensor:
        states = left
        for _ in range(PRODUCTS):
            states = torch.nn.functional.rms_norm(states @ right, (576,))
        return states

    def steps() -> torch.Tensor:
        for _ in range(options.steps):
            model.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
        gradient = model.lm_head.weight.grad
        assert gradient is not None
        return gradient

    for line in sys.stdin:
        began = time.perf_counter()
        outcome = {"products": products, "steps": steps}[line.strip()]()
        taken = time.perf_counter() - began
        digest = hashlib.sha256(outcome.detach().numpy().tobytes()).hexdigest()
        print(json.dumps({"seconds": taken, "digest": digest}), flush=True)


if __name__ == "__main__":
    main()
