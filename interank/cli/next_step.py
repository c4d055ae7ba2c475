"""What a command says at its end: what to do next with what it made."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def say_next(options: argparse.Namespace, *sentences: str) -> None:
    """Say it on standard error, since programs read the results; not under --quiet, nor where JSON is printed."""
    if options.quiet or getattr(options, "json", False) is True:
        return
    # Behind the results where both go to one place, and not at all where nobody reads them.
    sys.stdout.flush()
    for sentence in sentences:
        print(f"next: {sentence}", file=sys.stderr)


def word(path: Path | str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
