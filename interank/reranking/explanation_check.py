"""Tells from a model's files, before it is loaded, whether it can explain its grades."""

from __future__ import annotations

from interank import modes
from interank.artifact import MANIFEST, open_artifact
from interank.engines.use import read_head, read_use
from interank.resources import expanded
from interank.tasks import TASK_MODES, task_of_adapter


def explains(source: str, base: str | None = None) -> bool:
    """True if a model can explain its grades; assumed where its files do not tell.

    Args:
        source: An output of distill or rl, a model's or an adapter's folder, or a name on the hub.
        base: An adapter's base model; None takes the one that it was trained on.

    Raises:
        ArtifactError, ModelError, InputError: As for opening the model.
    """
    folder = expanded(source)
    if (folder / MANIFEST).is_file():
        manifest = open_artifact(folder, "adapter").manifest
        can = TASK_MODES.get(task_of_adapter(manifest), ())
        # The task has to allow explanations, and so has the training.
        return bool(can) and modes.explains(can) and modes.explains(tuple(manifest.get("modes") or ()))
    if read_head(folder) is not None:
        return False
    if (use := read_use(folder)) is not None:
        return modes.explains(use.modes)
    from interank.engines.late_lists import reads_lists
    from interank.engines.released_forms import released_form

    if released_form(source) is not None or reads_lists(source):
        return False
    # Without such files, only the model's layers or its entry on the hub tell.
    from interank.engines.heads import find_head
    from interank.tasks.sources import find_source

    return find_head(source, base) is None and modes.explains(find_source(source, base).modes())
