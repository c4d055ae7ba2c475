"""What a stage checks before it begins: that its inputs are named and the place of its output is free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interank.errors import ArtifactError, InputError
from interank.locks import held
from interank.outputs import Partial, is_taken, output_folder
from interank.recipe import GET_BENCHMARKS, Recipe


def require_inputs(recipe: Recipe) -> None:
    """Raise if an input is missing.

    Raises:
        InputError: Names the missing inputs and how to give them.
    """
    missing = recipe.missing()
    if missing:
        given = " ".join(f"{name}=PATH" for name in missing)
        hint = f"; {GET_BENCHMARKS}" if any(name.endswith("benchmarks") for name in missing) else ""
        raise InputError(f"{recipe.stage} needs {' and '.join(missing)}; add {given} to the command{hint}")


@contextmanager
def making(out: Path, *read: Path) -> Iterator[Path]:
    """The folder in which a model is made that cannot be gone on with: renamed at the end, gone after a failure.

    Args:
        out: Where it will stand.
        read: What it is made from.

    Raises:
        ArtifactError: The place is taken, or another process is making it.
    """
    partial = Partial(output_folder(out, read=read))
    with held(partial.out):
        partial.tidy()
        if is_taken(partial.out):
            raise ArtifactError(f"{out} exists; choose another --out, or remove it")
        partial.discard()
        partial.begin()
        try:
            yield partial.output
            partial.hand_out()
        finally:
            partial.discard()
