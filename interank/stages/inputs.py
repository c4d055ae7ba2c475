"""What a stage checks before it begins: that its inputs are named and the place of its output is free."""

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
    # It loads torch, which a check of inputs does without.
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
    """What the manifest of an output at `out` says of its inputs."""
    kept = [each for each in named if each.described]
    return distributed.from_first(lambda: {each.name: describe_input(each.path, out) for each in kept})


def leaving_nothing_begun(stage: Stage) -> Stage:
    """A stage in one process that removes what it began, where it fails with nothing to go on with."""
    tidied = _tidied(stage)

    @functools.wraps(stage)
    def alone(recipe: Any, out: Path, **more: Any) -> Any:
        refuse_several_processes()
        return tidied(recipe, out, **more)

    return cast("Stage", alone)


def training_stage(stage: Stage) -> Stage:
    """A stage that several processes may do together: the first of them makes and tidies, as one alone does."""
    tidied = _tidied(stage)

    @functools.wraps(stage)
    def together(recipe: Any, out: Path, **more: Any) -> Any:
        distributed.begin()
        try:
            return (tidied if distributed.first() else stage)(recipe, out, **more)
        except (RuntimeError, InterankError) as error:
            found = distributed.lost(error)
            if found is None:
                raise
            raise found from error

    return cast("Stage", together)


def _tidied(stage: Stage) -> Stage:
    """The stage that removes what it began, where it fails with nothing to go on with."""

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
    # Another process may be making it.
    with suppress(ArtifactError), held(partial.out):
        partial.tidy()
        if not partial.is_unfinished:
            partial.discard()


def require_judge(source: Source, verb: str) -> None:
    """Raise unless a model's prompts are a judge's, whose scores the verb compares.

    Raises:
        ArtifactError: It is an adapter of another task.
    """
    task = "judge" if source.manifest is None else task_of_adapter(source.manifest)
    if task != "judge":
        raise ArtifactError(
            f"{source.name} was trained on {TRAINED_ON.get(task, f'task {task}')}; interank {verb} compares scores of "
            "single documents, so it takes adapters of task judge alone; use this one as it is"
        )


def refuse_taken(out: Path, *read: Path) -> None:
    """Stop where something stands in a model's place.

    Raises:
        ArtifactError: Something does, or the place is one of those that others need.
    """
    if is_taken(output_folder(out, read=read)):
        raise ArtifactError(f"{out} exists; choose another --out, or remove it")


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
        refuse_taken(out, *read)
        partial.discard()
        partial.begin()
        try:
            yield partial.output
            partial.hand_out()
        finally:
            partial.discard()
