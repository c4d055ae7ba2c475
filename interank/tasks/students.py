"""The student of a recipe as an input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interank.artifact import MANIFEST, open_artifact
from interank.errors import InputError
from interank.inputs import Input, adapter, language_model
from interank.resources import expanded
from interank.settings import PromptSettings
from interank.tasks import task_of_adapter


def student(source: str, prompt: PromptSettings, task: str) -> Input:
    """The student to be taught a task: a language model, or an adapter of that task."""
    path = expanded(source)
    if not (path / MANIFEST).is_file():
        return language_model("student", source, prompt)
    adapter_input = adapter("student", path)

    def check_task(place: Path) -> None:
        trained = task_of_adapter(open_artifact(place, "adapter").manifest)
        if trained != task:
            raise InputError(
                f"student: {place} was trained for task {trained}, and task {task} is to be learned; give an "
                "adapter of that task, or a model"
            )

    def opened(place: Path) -> None:
        check_task(place)
        adapter_input.opened(place)

    return replace(adapter_input, opened=opened, glance=check_task)
