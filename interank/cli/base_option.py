"""`--base`, for every verb that opens an adapter."""

from __future__ import annotations

import argparse


def add_base(verb: argparse.ArgumentParser, adapter: str = "MODEL") -> None:
    """Let the caller say what an adapter stands on."""
    verb.add_argument(
        "--base",
        metavar="NAME_OR_DIR",
        help=f"what the adapter {adapter} stands on, if that was moved; also another base than its own, with a warning",
    )
