"""The adapters that explain single documents, or read such explanations, as inputs of a stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interank.artifact import open_artifact
from interank.errors import InputError
from interank.inputs import Input, adapter
from interank.settings import PromptSettings
from interank.settings.base import validated
from interank.tasks import task_of_adapter


def judge_adapter(name: str, path: Path, base: str | None = None) -> Input:
    """An adapter of task judge that was trained on the present wording of the prompt; `base` as in `inputs.adapter`."""
    given = adapter(name, path, base)

    def glance(place: Path) -> None:
        manifest = open_artifact(place, "adapter").manifest
        task = task_of_adapter(manifest)
        if task != "judge":
            raise InputError(
                f"{name}: {place} was trained for task {task}, which explains no single document; give "
                "an adapter of task judge"
            )
        here = validated(PromptSettings, manifest["prompt"], f"{place}: prompt").wording
        if manifest["prompt_hash"] != here:
            raise InputError(
                f"{name}: {place} was trained on another wording of the prompt "
                f"({manifest['prompt_hash']}, here {here}); train it anew, or leave it out"
            )

    def opened(place: Path) -> None:
        glance(place)
        given.opened(place)

    return replace(given, opened=opened, glance=glance)
