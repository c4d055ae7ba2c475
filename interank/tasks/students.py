"""The student of a recipe as an input: what is taught a task."""

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
    """What is taught a task: a language model, or an adapter of that task."""
    path = expanded(source)
    if not (path / MANIFEST).is_file():
        return language_model("student", source, prompt)
    given = adapter("student", path)

    def of_the_task(place: Path) -> None:
        trained = task_of_adapter(open_artifact(place, "adapter").manifest)
        if trained != task:
            raise InputError(
                f"student: {place} was trained for task {trained}, and task {task} is to be learned; give an "
                "adapter of that task, or a model"
            )

    def opened(place: Path) -> None:
        of_the_task(place)
        given.opened(place)

    return replace(given, opened=opened, glance=of_the_task)
