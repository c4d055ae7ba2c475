"""The inputs of generate, each opened before anything is mined or asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from interank.errors import InputError
from interank.inputs import Input, artifact, check_inputs, language_model, mined_pairs, named_as_they_stand
from interank.ir.overlap import read_texts
from interank.mining import find_dumps
from interank.mining.tables import find_table
from interank.recipe import GET_BENCHMARKS, GenerateRecipe
from interank.stages.judge_adapters import judge_adapter


def check(recipe: GenerateRecipe) -> Sequence[Input]:
    """Open the recipe's inputs before anything is mined or asked, and return them.

    Raises:
        InterankError: An input cannot be used.
    """
    inputs = named(recipe)
    check_inputs(inputs)
    return inputs


def refuse_mining(recipe: GenerateRecipe) -> None:
    """Refuse `--mine-only` for a recipe without dumps.

    Raises:
        InputError: Names the key that the recipe has instead of dumps.
    """
    if recipe.pairs or recipe.judgments:
        named = "pairs" if recipe.pairs else "judgments"
        raise InputError(
            f"--mine-only mines dumps, but the recipe names {named}; give dumps=PATH and leave {named} out"
        )


def named(recipe: GenerateRecipe) -> list[Input]:
    """Dumps, pairs or judgments, the benchmarks of the decontamination, and a teacher that runs in this process."""
    what, opens = "a StackExchange dump or a table of questions", partial(_opens, recipe)
    inputs = [
        Input(f"dumps.{number}", path, what, opens, "name", glance=opens)
        for number, path in enumerate(recipe.dumps or ())
    ]
    if recipe.pairs:
        inputs.append(mined_pairs(recipe.pairs))
    elif recipe.judgments:
        inputs.append(artifact("judgments", recipe.judgments, "judgments"))
    elif recipe.decontaminate:
        for number, path in enumerate(recipe.benchmarks or ()):
            inputs.append(Input(f"benchmarks.{number}", path, "a benchmark", _has_texts, "name", glance=_holds_files))
    if recipe.explanations and recipe.explanations.student:
        inputs.append(judge_adapter("explanations.student", recipe.explanations.student))
    if recipe.asks_teacher and recipe.teacher.engine != "openai":
        inputs.append(language_model("teacher.model", recipe.teacher.model, recipe.prompt))
    return named_as_they_stand(inputs)


def _has_texts(path: Path) -> None:
    """Raise where a benchmark has no texts for the decontamination.

    Raises:
        InputError: The benchmark's folder is missing or empty, or holds no texts.
    """
    _holds_files(path)
    read_texts(path)


def _holds_files(path: Path) -> None:
    if not path.is_dir() or not any(path.iterdir()):
        found = "is an empty folder" if path.is_dir() else "is no folder"
        raise InputError(f"benchmarks: {path} {found}, so nothing can be compared with it; {GET_BENCHMARKS}")


def _opens(recipe: GenerateRecipe, path: Path) -> None:
    """Raise where the path is neither a dump nor a table of questions; a table on the hub is not fetched.

    Raises:
        InputError: The reason, with what was found.
    """
    table = find_table(path, recipe.mining.columns)
    if table is None:
        find_dumps(path)
    elif path.exists() and next(table.questions(), None) is None:
        # Says which row is wrong, where there is one.
        table.require_posts()
        raise InputError(f"{path}: found no row; expected questions with answers; name a filled table")
