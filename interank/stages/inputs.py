"""Checks before a stage begins: its inputs are named, and the place of its output is free."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from interank import distributed
from interank.artifact import describe_input
from interank.distributed import refuse_several_processes
from interank.errors import ArtifactError, InputError, InterankError
from interank.inputs import Input
from interank.locks import held
from interank.outputs import Partial, is_taken, output_folder
from interank.recipe import GET_BENCHMARKS, Recipe
from interank.tasks import TRAINED_ON, task_of_adapter

if TYPE_CHECKING:
    # It loads torch, and a check of inputs should not.
    from interank.tasks.sources import Source

Stage = TypeVar("Stage", bound=Callable[..., Any])


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


def described(named: Iterable[Input], out: Path) -> dict[str, dict[str, Any]]:
    """The manifest's description of the inputs of an output at `out`."""
    kept = [each for each in named if each.described]
    return distributed.from_first(lambda: {each.name: describe_input(each.path, out) for each in kept})


def leaving_nothing_begun(stage: Stage) -> Stage:
    """Wrap a stage of one process: if it fails before there is anything to resume, its unfinished output is removed."""
    tidied = _tidied(stage)

    @functools.wraps(stage)
    def alone(recipe: Any, out: Path, **more: Any) -> Any:
        refuse_several_processes()
        return tidied(recipe, out, **more)

    return cast("Stage", alone)


def training_stage(stage: Stage) -> Stage:
    """Wrap a stage that several processes may share: the first one writes the output, and tidies it after a failure."""
    tidied = _tidied(stage)

    @functools.wraps(stage)
    def together(recipe: Any, out: Path, **more: Any) -> Any:
        distributed.begin()
        try:
            return (tidied if distributed.first() else stage)(recipe, out, **more)
        except (RuntimeError, InterankError) as error:
            lost = distributed.lost(error)
            if lost is None:
                raise
            raise lost from error

    return cast("Stage", together)


def _tidied(stage: Stage) -> Stage:
    """Wrap a stage: if it fails before there is anything to resume, its unfinished output is removed."""

    @functools.wraps(stage)
    def tidy(recipe: Any, out: Path, **more: Any) -> Any:
        with ExitStack() as failed:
            failed.callback(_forget, out)
            made = stage(recipe, out, **more)
            failed.pop_all()
        return made

    return cast("Stage", tidy)


def _forget(out: Path) -> None:
    partial = Partial(out.resolve())
    if not partial.folder.is_dir() or partial.folder.is_symlink() or partial.is_unfinished:
        return
    # Another process may be making this output.
    with suppress(ArtifactError), held(partial.out):
        partial.tidy()
        if not partial.is_unfinished:
            partial.discard()


def require_judge(source: Source, verb: str) -> None:
    """Raise unless the model is a judge; the command `interank VERB` compares scores of single documents.

    Raises:
        ArtifactError: The adapter is of another task.
    """
    task = "judge" if source.manifest is None else task_of_adapter(source.manifest)
    if task != "judge":
        raise ArtifactError(
            f"{source.name} was trained on {TRAINED_ON.get(task, f'task {task}')}; interank {verb} compares scores of "
            "single documents, so it takes adapters of task judge alone; use this one as it is"
        )


def refuse_taken(out: Path, *read: Path) -> None:
    """Raise where the place of a model is taken.

    Raises:
        ArtifactError: Something exists there, or the place cannot be an output; see `output_folder`.
    """
    if is_taken(output_folder(out, read=read)):
        raise ArtifactError(f"{out} exists; choose another --out, or remove it")


@contextmanager
def making(out: Path, *read: Path) -> Iterator[Path]:
    """A temporary folder for a model: renamed to `out` at the end, removed after a failure.

    Args:
        out: The model's place.
        read: The paths that it is made from.

    Raises:
        ArtifactError: The place is taken, or another process is making it.
    """
    partial = Partial(output_folder(out, read=read))
    with held(partial.out):
        partial.tidy()
        refuse_taken(out, *read)
        partial.discard()
        partial.begin()
        try:
            yield partial.output
            partial.hand_out()
        finally:
            partial.discard()
