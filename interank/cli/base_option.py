"""The option `--base` of every verb that opens an adapter."""

from __future__ import annotations

import argparse


def add_base(verb: argparse.ArgumentParser, adapter: str = "MODEL") -> None:
    """Add the option."""
    verb.add_argument(
        "--base",
        metavar="NAME_OR_DIR",
        help=f"the base model of the adapter {adapter}, if it was moved; another base than its own gives a warning",
    )
