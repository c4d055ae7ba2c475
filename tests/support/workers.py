"""Which tests keep together where several processes share them, by pytest-xdist: a file's, and all that start vLLM.

And what one of the processes makes for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
# Where vLLM is started there is `vllm_environment`, which keeps it small.
_STARTS_VLLM = "tests.support.servers"


@cache
def group(file: str) -> str:
    """The file itself, whose fixtures are then made once, or "vllm": of its processes one at a time has the memory."""
    return "vllm" if _STARTS_VLLM in (ROOT / file).read_text("utf-8") else file


def made_once(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the whole run, which the first process that needs it makes; others wait until it is whole."""
    own = folders.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    whole, begun = run / name, run / f"{name}-begun"
    with FileLock(run / f"{name}.lock"):
        if not whole.exists():
            make(begun)
            begun.rename(whole)
    return whole


def longest_first(items: list[pytest.Item]) -> None:
    """Put the groups with slow tests first, and vLLM's before them."""
    groups = [group(_file(item.nodeid)) for item in items]
    slow = {name for item, name in zip(items, groups, strict=True) if item.get_closest_marker("slow")}
    items.sort(key=lambda item: ((name := group(_file(item.nodeid))) != "vllm", name not in slow))


def scheduler(config: pytest.Config, log: Any) -> object:
    """Hands groups to processes in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(_file(nodeid))

    # Reordered, the files with the most tests come first, and these are the quickest.
    config.option.loadscopereorder = False
    return ByGroup(config, log)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
