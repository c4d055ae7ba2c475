"""Which command makes the output that is needed out of what was given, for messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interank.wording import nearby

_VERBS = {
    ("questions", "judgments"): "interank generate RECIPE dumps={path} makes them",
    ("questions", "pairs"): "interank generate RECIPE dumps={path} --mine-only makes them",
    ("pairs", "judgments"): "interank generate RECIPE pairs={path} makes them",
    ("shard", "judgments"): "interank join {path} ... --out DIR joins it with the other shards",
    ("judgments", "adapter"): "interank distill RECIPE judgments={path} trains one",
    ("judgments", "reward"): "interank reward RECIPE judgments={path} trains one",
    ("adapter", "evaluation"): "interank evaluate RECIPE adapters={path} makes one",
}


def way_to(kind: str, path: Path, manifest: Mapping[str, Any]) -> str:
    """What makes an artifact of a kind out of the one at a path, which is of another."""
    if manifest["kind"] == "splits" and manifest.get("of") == kind:
        return f"its part to train on is {path}/train"
    return _VERBS.get((manifest["kind"], kind), "give an output of that kind").format(path=path)


def missing(path: Path, *, begun: bool) -> str:
    """What to do where an output is needed and nothing stands; perhaps one was begun there."""
    near = " (an unfinished one is beside it; finish it with --resume)" if begun else nearby(path)
    return f"{path} does not exist{near}; give the --out folder of an earlier stage"


def no_output(path: Path) -> str:
    """What to do with a file where an output is needed."""
    return (
        f"{path} is a file, where the --out folder of an earlier stage is needed; of a table "
        f"`interank import {path} --as KIND --out DIR` makes one"
    )
