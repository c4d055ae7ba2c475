"""Which task's ranker reads a model: one that knows it by its files, else the one that has the mode."""

from __future__ import annotations

from typing import Any

from interank.tasks import NAMES, TASK_MODES, exported_judge, late_lists, released_rerankers
from interank.tasks.parts import part
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import OneModel


def open_by_task(asked: RankerSettings) -> OneModel:
    """The reranker of the task that the model or the mode is of.

    A task's `ranker` module has `open_ranker`, and `takes` where files tell its models from those of other tasks.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be had, or no server answers.
        InputError: The mode, the engine or the settings do not go with the model.
    """
    for module in (exported_judge, late_lists, released_rerankers):
        if module.takes(asked):
            opened: OneModel = module.open_ranker(asked)
            return opened
    rankers: dict[str, Any] = {task: part(task, "ranker") for task in NAMES}
    by_files = (module for module in rankers.values() if hasattr(module, "takes") and module.takes(asked))
    by_mode = (
        module
        for task, module in rankers.items()
        if asked.mode in TASK_MODES.get(task, ()) and not hasattr(module, "takes")
    )
    chosen = next(by_files, None) or next(by_mode)
    ranks: OneModel = chosen.open_ranker(asked)
    return ranks
