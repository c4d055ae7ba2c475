"""Chooses the ranker of a model: that of the task that recognises its files, else that of the mode."""

from __future__ import annotations

from typing import Any

from interank.tasks import NAMES, TASK_MODES, exported_judge, late_lists, released_rerankers
from interank.tasks.parts import part
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import OneModel


def open_by_task(settings: RankerSettings) -> OneModel:
    """The reranker of the task that the model's files or the mode belong to.

    A task's `ranker` module has `open_ranker`, and `takes` where its models are recognised by their files.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model is not available, or no server answers.
        InputError: The mode, the engine or the settings do not go with the model.
    """
    for module in (exported_judge, late_lists, released_rerankers):
        if module.takes(settings):
            opened: OneModel = module.open_ranker(settings)
            return opened
    rankers: dict[str, Any] = {task: part(task, "ranker") for task in NAMES}
    by_files = (module for module in rankers.values() if hasattr(module, "takes") and module.takes(settings))
    by_mode = (
        module
        for task, module in rankers.items()
        if settings.mode in TASK_MODES.get(task, ()) and not hasattr(module, "takes")
    )
    chosen = next(by_files, None) or next(by_mode)
    ranks: OneModel = chosen.open_ranker(settings)
    return ranks
