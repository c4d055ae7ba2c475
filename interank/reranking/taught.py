"""Whether a model has words for its rankings, told by its files before it is loaded."""

from __future__ import annotations

from interank import modes
from interank.artifact import MANIFEST, open_artifact
from interank.engines.use import read_head, read_use
from interank.resources import expanded
from interank.tasks import TASK_MODES, task_of_adapter


def explains(source: str, base: str | None = None) -> bool:
    """Whether a model can say why it grades as it does; one of which nothing is known is taken to.

    Args:
        source: An output of distill or rl, a model's or an adapter's folder, or a name on the hub.
        base: What an adapter stands on, where that is said.

    Raises:
        ArtifactError, ModelError, InputError: As of whoever opens the model.
    """
    folder = expanded(source)
    if (folder / MANIFEST).is_file():
        manifest = open_artifact(folder, "adapter").manifest
        can = TASK_MODES.get(task_of_adapter(manifest), ())
        # Of a task that has no words for grades it needs no saying.
        return bool(can) and modes.explains(can) and modes.explains(tuple(manifest.get("modes") or ()))
    if read_head(folder) is not None:
        return False
    if (use := read_use(folder)) is not None:
        return modes.explains(use.modes)
    from interank.engines.late_lists import reads_lists
    from interank.engines.released import released_form

    if released_form(source) is not None or reads_lists(source):
        return False
    # What says nothing itself may be a head by its layers, or stand on the hub.
    from interank.engines.heads import find_head
    from interank.tasks.sources import find_source

    return find_head(source, base) is None and modes.explains(find_source(source, base).modes())
