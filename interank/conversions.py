"""Hints for messages: which command makes the required output from the one that was given."""

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
    """The command that makes an artifact of a kind from the one at a path, which is of another kind."""
    if manifest["kind"] == "splits" and manifest.get("of") == kind:
        return f"its part to train on is {path}/train"
    return _VERBS.get((manifest["kind"], kind), "give an output of that kind").format(path=path)


def missing(path: Path, *, begun: bool) -> str:
    """The message about a missing output; `begun` is whether an unfinished one is beside it."""
    near = " (an unfinished one is beside it; finish it with --resume)" if begun else nearby(path)
    return f"{path} does not exist{near}; give the --out folder of an earlier stage"


def no_output(path: Path) -> str:
    """The message about a file in place of an output folder."""
    return (
        f"{path} is a file, where the --out folder of an earlier stage is needed; if it is a table, "
        f"`interank import {path} --as KIND --out DIR` makes one from it"
    )
