"""What generate reads, each opened before anything is mined or asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from interank.artifact import open_artifact
from interank.errors import InputError
from interank.inputs import Input, adapter, artifact, check_inputs, language_model, mined_pairs, named_as_they_stand
from interank.ir.overlap import read_texts
from interank.mining import find_dumps
from interank.mining.tables import find_table
from interank.recipe import GET_BENCHMARKS, GenerateRecipe
from interank.settings import PromptSettings
from interank.settings.base import validated
from interank.tasks import task_of_adapter


def check(recipe: GenerateRecipe) -> Sequence[Input]:
    """Open what the recipe names, before anything is mined or asked; what it is.

    Raises:
        InterankError: Something of it cannot be used.
    """
    found = named(recipe)
    check_inputs(found)
    return found


def refuse_what_is_mined(recipe: GenerateRecipe) -> None:
    """Stop where only mining is asked for, and there is nothing to mine.

    Raises:
        InputError: Says what the recipe names instead of dumps.
    """
    if recipe.pairs or recipe.judgments:
        named = "pairs" if recipe.pairs else "judgments"
        raise InputError(
            f"--mine-only mines dumps, but the recipe names {named}; give dumps=PATH and leave {named} out"
        )


def named(recipe: GenerateRecipe) -> list[Input]:
    """Dumps, pairs or judgments, the benchmarks that dumps are compared with, and a teacher that runs here."""
    what, opens = "a StackExchange dump or a table of questions", partial(_opens, recipe)
    found = [
        Input(f"dumps.{number}", path, what, opens, "name", glance=opens)
        for number, path in enumerate(recipe.dumps or ())
    ]
    if recipe.pairs:
        found.append(mined_pairs(recipe.pairs))
    elif recipe.judgments:
        found.append(artifact("judgments", recipe.judgments, "judgments"))
    elif recipe.decontaminate:
        for number, path in enumerate(recipe.benchmarks or ()):
            found.append(Input(f"benchmarks.{number}", path, "a benchmark", _compared, "name", glance=_holds_files))
    if recipe.explanations and recipe.explanations.student:
        found.append(_student(recipe.explanations.student))
    if recipe.asks_teacher and recipe.teacher.engine != "openai":
        found.append(language_model("teacher.model", recipe.teacher.model, recipe.prompt))
    return named_as_they_stand(found)


def _student(path: Path) -> Input:
    """An adapter that explains: of task judge, trained on prompts as they are worded here."""
    given = adapter("explanations.student", path)

    def opened(place: Path) -> None:
        found = open_artifact(place, "adapter")
        task = task_of_adapter(found.manifest)
        if task != "judge":
            raise InputError(
                f"explanations.student: {place} was trained for task {task}, which explains no single document; give "
                "an adapter of task judge"
            )
        here = validated(PromptSettings, found.manifest["prompt"], f"{place}: prompt").wording
        if found.manifest["prompt_hash"] != here:
            raise InputError(
                f"explanations.student: {place} was trained on another wording of the prompt "
                f"({found.manifest['prompt_hash']}, here {here}); train it anew, or leave it out"
            )
        given.opened(place)

    return replace(given, opened=opened)


def _compared(path: Path) -> None:
    """Stop where nothing can be compared with what is mined.

    Raises:
        InputError: A benchmark's folder is missing, empty, or holds no texts.
    """
    _holds_files(path)
    read_texts(path)


def _holds_files(path: Path) -> None:
    if not path.is_dir() or not any(path.iterdir()):
        found = "is an empty folder" if path.is_dir() else "is no folder"
        raise InputError(f"benchmarks: {path} {found}, so nothing can be compared with it; {GET_BENCHMARKS}")


def _opens(recipe: GenerateRecipe, path: Path) -> None:
    """Stop where no dump and no table of questions stands; a table of the hub is not fetched for that.

    Raises:
        InputError: Says what was found.
    """
    table = find_table(path, recipe.mining.columns)
    if table is None:
        find_dumps(path)
    elif path.exists() and next(table.questions(), None) is None:
        # Says which row is wrong, where there is one.
        table.require_posts()
        raise InputError(f"{path}: found no row; expected questions with answers; name a filled table")
