"""The parts of a task: of a package its modules, of a task in one file that file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    # It knows what is trained, which a recipe's check does without.
    from interank.tasks.protocol import Refining, Task


def part(task: str, name: str) -> Any:
    """A task's module with this part: `recipe`, `inputs` and `training_data` for distill, `policy` for rl, `ranker`."""
    module = import_module(f"interank.tasks.{task}")
    return import_module(f"{module.__name__}.{name}") if hasattr(module, "__path__") else module


def task_named(name: str) -> Task:
    """What distill asks of a task."""
    return cast("Task", part(name, "training_data"))


def refining(name: str) -> Refining:
    """What rl asks of a task."""
    return cast("Refining", part(name, "policy"))
