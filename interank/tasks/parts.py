"""The parts of a task: of a package its modules, of a task in one file that file."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from interank.tasks.protocol import Task


def part(task: str, name: str) -> Any:
    """A task's module with this part: `lessons` for distill, `ranker` for reranking."""
    module = import_module(f"interank.tasks.{task}")
    return import_module(f"{module.__name__}.{name}") if hasattr(module, "__path__") else module


def task_named(name: str) -> Task:
    """What distill asks of a task."""
    return cast(Task, part(name, "lessons"))
