"""What a stage checks before it begins: that its inputs are named and the place of its output is free."""

from __future__ import annotations

from pathlib import Path

from interank.errors import ArtifactError, InputError
from interank.recipe import GET_BENCHMARKS, Recipe, missing_inputs


def require_inputs(recipe: Recipe) -> None:
    """Raise if an input is missing.

    Raises:
        InputError: Names the missing inputs and how to give them.
    """
    missing = missing_inputs(recipe)
    if missing:
        given = " ".join(f"{name}=PATH" for name in missing)
        hint = f"; {GET_BENCHMARKS}" if any(name.endswith("benchmarks") for name in missing) else ""
        raise InputError(f"{recipe.stage} needs {' and '.join(missing)}; add {given} to the command{hint}")


def require_free(out: Path) -> None:
    """Refuse a place that is taken.

    Raises:
        ArtifactError: There is something.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists; choose another --out, or remove it")
