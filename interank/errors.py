"""The error tree. Each error's message says what was found, what was expected and what to do.

InterankError
|-- InputError       a file or argument of the user's holds something that cannot be used
|-- RecipeError      a recipe cannot be resolved; lists every fault
|-- ArtifactError    an artifact is missing, unfinished, damaged, of another kind, or in the way
|   `-- BeingMadeError  another process is making it just now
|-- ModelError       a model cannot be had, or cannot do what is asked of it
|   `-- PromptError  what it gave for one prompt of several cannot be used
|-- TrainingError    training cannot start or cannot go on
"""

from __future__ import annotations

from collections.abc import Sequence


class InterankError(Exception):
    """Any error that is explained to the user in a sentence, without a traceback."""


class InputError(InterankError):
    """A file or argument of the user's holds something that cannot be used."""


class RecipeError(InterankError):
    """A recipe cannot be resolved; lists every fault, not the first only."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


class ArtifactError(InterankError):
    """An artifact is missing, unfinished, damaged, of another kind, or in the way."""


class BeingMadeError(ArtifactError):
    """Another process is making the artifact just now."""


class ModelError(InterankError):
    """A model cannot be had, or cannot do what is asked of it."""


class PromptError(ModelError):
    """What a model gave for one prompt of several cannot be used; `place` tells for which."""

    def __init__(self, place: int, message: str) -> None:
        self.place = place
        super().__init__(message)


class TrainingError(InterankError):
    """Training cannot start or cannot go on."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything ends as it does at the keyboard's interrupt."""
