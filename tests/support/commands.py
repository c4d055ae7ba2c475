"""Stages as commands of their own, and where they leave what is unfinished."""

from __future__ import annotations

import sys
from pathlib import Path


def command(verb: str, recipe: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "interank.cli.app", verb, str(recipe), *more, "--out", str(out), "--quiet"]


def partial(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"
