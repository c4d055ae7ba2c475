"""The error tree. Each error's message says what was found, what was expected and what to do.

InterankError
|-- InputError       a file or an argument from the user cannot be used
|-- RecipeError      a recipe cannot be resolved; lists every fault
|-- ArtifactError    an artifact is missing, unfinished, damaged, of another kind, or in the way
|   `-- BeingMadeError  another process is making it
|-- ModelError       a model cannot be loaded, or cannot do what is requested
|   `-- PromptError  its output for one prompt of a batch cannot be used
|-- TrainingError    training cannot start or cannot continue
"""

from __future__ import annotations

from collections.abc import Sequence


class InterankError(Exception):
    """Any error that is explained to the user in a sentence, without a traceback."""


class InputError(InterankError):
    """A file or an argument from the user cannot be used."""


class RecipeError(InterankError):
    """A recipe cannot be resolved; lists every fault, not only the first."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


class ArtifactError(InterankError):
    """An artifact is missing, unfinished, damaged, of another kind, or in the way."""


class BeingMadeError(ArtifactError):
    """Another process is making the artifact."""


class ModelError(InterankError):
    """A model cannot be loaded, or cannot do what is requested."""


class PromptError(ModelError):
    """A model's output for one prompt of a batch cannot be used; `place` is the prompt's index."""

    def __init__(self, place: int, message: str) -> None:
        self.place = place
        super().__init__(message)


class TrainingError(InterankError):
    """Training cannot start or cannot continue."""


class Terminated(KeyboardInterrupt):
    """SIGTERM was received; handled like a KeyboardInterrupt."""
