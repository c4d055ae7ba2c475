"""The last lines of a command: what to do next with its output."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def say_next(options: argparse.Namespace, *sentences: str) -> None:
    """Print next steps on standard error, as standard output has the results; not with --quiet or with --json."""
    if options.quiet or getattr(options, "json", False) is True:
        return
    # The results come first in a terminal; a closed pipe ends the command here.
    sys.stdout.flush()
    for sentence in sentences:
        print(f"next: {sentence}", file=sys.stderr)


def word(path: Path | str) -> str:
    """A path, quoted for a shell."""
    return shlex.quote(str(path))
