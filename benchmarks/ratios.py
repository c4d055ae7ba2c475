"""Every target of speed, measured anew: runs `rerank.py`, `sft.py` and `grpo.py`, and ends with a table.

    make ratios
    python benchmarks/ratios.py --only distill rl --json ratios.json

For a machine on which nothing else runs; on two cores it takes most of an hour. `--small` only tries the command: one
round of everything, small shapes, and figures that mean nothing. The exit status is 0 if every ratio was reached.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Part:
    """One run of a benchmark: its script, its arguments, and those that make it small."""

    script: str
    arguments: tuple[str, ...]
    small: tuple[str, ...]
    model: bool = False
    """Whether it takes a model by `--model`."""


@dataclass(frozen=True, slots=True)
class Target:
    """How many times as fast as another program a part of interank has to be at least."""

    part: str
    figure: str
    ours: str
    theirs: str
    at_least: float


PARTS = {
    "score": Part(
        "rerank.py",
        ("--only", "score_vs_generate", "score_vs_batched"),
        ("--rounds", "1", "--documents", "16"),
        model=True,
    ),
    # By itself: its process stays, and where it cannot run the others do.
    "vllm": Part("rerank.py", ("--only", "score_vs_vllm"), ("--rounds", "1", "--documents", "16"), model=True),
    "reason": Part(
        "rerank.py",
        ("--only", "reason_vs_generate", "--documents", "16"),
        ("--rounds", "1", "--documents", "8"),
        model=True,
    ),
    "distill": Part("sft.py", ("--sides", "ours", "trl"), ("--shape", "tiny", "--repeats", "1", "--questions", "2")),
    "rl": Part("grpo.py", ("--only", "time"), ("--shape", "tiny", "--repeats", "1", "--prompt", "64")),
}
TARGETS = (
    Target("score", "score_vs_generate", "score", "generate, a document at a time", 12.0),
    Target("score", "score_vs_batched", "score", "padded batches with whole logits", 2.3),
    Target("vllm", "score_vs_vllm", "score", "vLLM's build for CPUs", 1.0),
    Target("reason", "reason_vs_generate", "reason", "generate, a document at a time", 4.0),
    Target("distill", "tokens_vs_trl", "distill's update", "TRL's SFTTrainer", 1.6),
    Target("rl", "update_vs_trl_equal_settings", "rl's update", "TRL's GRPOTrainer", 2.5),
)


def main() -> int:
    """Run the parts that are named; 0 if every target was reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--model", metavar="MODEL", help="that score and reason run; without it SmolLM2-135M-Instruct")
    parser.add_argument("--small", action="store_true", help="try the command: one round, small shapes")
    options = parser.parse_args()
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "threads": options.threads,
        "small": options.small,
        "load_before": round(os.getloadavg()[0], 2),
    }
    for name in options.only:
        found[name] = figures(PARTS[name], options)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    rows = [row(target, found[target.part]) for target in TARGETS if target.part in found]
    print(table(rows))
    if options.small:
        print("tried with --small: the figures mean nothing")
    return 0 if all(reached == "yes" for *_, reached in rows) else 1


def figures(part: Part, options: argparse.Namespace) -> dict[str, Any]:
    """What a benchmark found, or the end of what it said where it failed; the other parts go on."""
    arguments = [*part.arguments, *(part.small if options.small else ()), "--threads", str(options.threads)]
    if part.model and options.model:
        arguments += ["--model", options.model]
    print(f"{part.script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    # Both sides get the same threads, which wait as each program has them wait.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / part.script), *arguments, "--json", str(file)]
        # What it says while it works goes where ours goes; its figures come by the file.
        done = subprocess.run(command, stdout=sys.stderr, env=environment, check=False)
        if done.returncode:
            return {"error": f"{part.script} ended with {done.returncode}"}
        read: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return read


def row(target: Target, found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What is compared, its target, what was found, and whether that is enough."""
    what = f"{target.ours} / {target.theirs}"
    ratio = found.get(target.figure)
    if ratio is None:
        told = found.get("error") or found.get(f"{target.figure}_remark") or "not measured"
        return what, f"{target.at_least:.1f}", str(told), "no"
    return what, f"{target.at_least:.1f}", f"{ratio:.2f}", "yes" if ratio >= target.at_least else "no"


def table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """The rows under their headings."""
    lines = [("times as fast as", "target", "got", "reached"), *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(4)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
