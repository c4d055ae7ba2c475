"""`interank split`: splits questions or judgments into train, dev and test."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word
from interank.wording import counted

if TYPE_CHECKING:
    from interank.artifact import Artifact

_EPILOG = """\
example:
  interank split runs/labels --out runs/split
  interank distill RECIPE judgments=runs/split/train --out runs/student
  interank evaluate evaluate/benchmark benchmark=runs/split split=dev adapters=runs/student --out runs/dev
  interank fit runs/dev --into runs/student
  interank evaluate evaluate/benchmark benchmark=runs/split split=test adapters=runs/student --out runs/test

Questions are drawn by the seed; those of one thread and near-duplicates go to the same part. All parts share one
corpus: only the questions are split."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "split",
        parents=[common],
        help="split into train, dev and test by question, near-duplicates together",
        description="Split imported questions, or judgments, into train, dev and test by question.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("source", metavar="DIR", type=Path, help="an output of import or generate")
    verb.add_argument("--out", metavar="DIR", type=Path, required=True, help="the output folder")
    verb.add_argument(
        "--shares",
        type=_shares,
        default=(0.8, 0.1, 0.1),
        metavar="TRAIN,DEV,TEST",
        help="the parts' shares of the questions; any numbers, 0 for none (default 0.8,0.1,0.1)",
    )
    verb.add_argument(
        "--validation",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="the share of train's questions on which distill tries its student (default 0.1)",
    )
    verb.add_argument("--seed", type=int, default=42, help="the seed of the draw (default 42)")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, dev, test = (float(part) for part in text.split(","))
    except ValueError:
        train = dev = test = -1
    if not (0 < train < 1e9 and 0 <= dev < 1e9 and 0 <= test < 1e9):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, where three shares are expected, of train (above 0), dev and test, as 0.8,0.1,0.1"
        )
    return train, dev, test


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, where a share of at least 0 and below 1 is expected")
    return share


def _next(artifact: Artifact) -> str:
    """The command that uses the training part."""
    place = word(artifact.path)
    if artifact.manifest["of"] == "judgments":
        return (
            f"interank distill distill/smollm2 judgments={place}/train --out runs/student; trainer.max_steps=20 makes "
            "it a quick try"
        )
    held_out = any(artifact.manifest["counts"][f"{part}_questions"] for part in ("dev", "test"))
    check = f"benchmarks={place} decontaminate=queries" if held_out else "decontaminate=false"
    return (
        f"interank generate generate/smollm2 dumps={place}/train {check} teacher.grades=votes "
        "teacher.max_reasoning_tokens=0 --out runs/votes grades them by votes, without a teacher"
    )


def _run(options: argparse.Namespace) -> int:
    from interank.splits.parts import SplitSettings
    from interank.stages.split import run

    settings = SplitSettings(options.shares, options.validation, options.seed)
    existing: Any = "resume" if options.resume else "overwrite" if options.overwrite else "refuse"
    artifact = run(options.source, options.out, settings, existing=existing)
    parts = artifact.manifest["parts"]
    print(", ".join(f"{counted(number, 'question')} in {part}" for part, number in parts.items()))
    counts = artifact.manifest["counts"]
    print(f"{counts['kept_together']} of them in groups that stay together, the largest of {counts['largest_group']}")
    print(artifact.path)
    say_next(options, _next(artifact))
    return 0
