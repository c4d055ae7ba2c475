"""The parts of a task: the modules of its package, or its one file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    # For types alone, since it loads torch, which checking a recipe does without.
    from interank.tasks.protocol import Refining, Task


def part(task: str, name: str) -> Any:
    """A task's module with this part: `recipe`, `inputs` and `training_data` for distill, `policy` for rl, `ranker`."""
    module = import_module(f"interank.tasks.{task}")
    return import_module(f"{module.__name__}.{name}") if hasattr(module, "__path__") else module


def task_named(name: str) -> Task:
    """The part of a task that distill uses."""
    return cast("Task", part(name, "training_data"))


def refining(name: str) -> Refining:
    """The part of a task that rl uses."""
    return cast("Refining", part(name, "policy"))
