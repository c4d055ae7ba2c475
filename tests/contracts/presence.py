"""What is installed here: an environment that is made for a package has to have it, elsewhere its tests are skipped."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path

import pytest

MADE_FOR = "INTERANK_MADE_FOR"
"""The environment variable that holds the packages that an environment is made for, a list in JSON."""


def found(package: str) -> bool:
    """Whether a package is installed; npm stands before the name of one for Node.

    Raises:
        ModuleNotFoundError: It is not, and this environment was made for it.
    """
    if package.startswith("npm "):
        there = (Path(os.environ.get("NODE_PATH", "nowhere")) / package.removeprefix("npm ")).is_dir()
    else:
        there = bool(list(importlib.metadata.distributions(name=package)))
    if not there and package in json.loads(os.environ.get(MADE_FOR, "[]")):
        raise ModuleNotFoundError(f"{package} is not found in the environment that was made for it")
    return there


def need(package: str) -> None:
    """Skip the tests of a file where their package is not installed."""
    if not found(package):
        pytest.skip(f"{package} is not installed; `make contracts` runs this", allow_module_level=True)
