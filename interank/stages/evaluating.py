"""The inputs of evaluate, each opened before anything is ranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interank.evaluation.fusion import fits_by_adapter
from interank.evaluation.systems import CHAIN, named_systems
from interank.inputs import Input, check_inputs, named_as_they_stand, reranker
from interank.ir.benchmarks import load_tasks
from interank.ir.benchmarks.hub import is_repository
from interank.ir.trec import numbered_lines, read_qrels, read_run
from interank.recipe import EvaluateRecipe
from interank.reranking.fitting import read_fit
from interank.stages.explanation_rewards import check as check_marking
from interank.stages.explanation_rewards import named as explaining


def check(recipe: EvaluateRecipe) -> Sequence[Input]:
    """Open the recipe's inputs before any model is loaded or output begun, and return them.

    Raises:
        InterankError: An input cannot be used.
    """
    inputs = named(recipe)
    check_inputs(inputs)
    systems = named_systems([*recipe.runs, *recipe.adapters])
    fits = fits_by_adapter(recipe.fits, recipe.mode, systems[len(recipe.runs) :])
    return [
        *inputs,
        *(
            Input(f"fit.{number}", applied.path, "what interank fit found", read_fit, "file")
            for number, applied in enumerate(fits.values(), start=1)
        ),
    ]


def named(recipe: EvaluateRecipe) -> list[Input]:
    """The inputs by name, without the fits: which fit belongs to which adapter, the adapters tell."""
    systems = named_systems([*recipe.runs, *recipe.adapters])
    inputs = []
    if recipe.benchmark:
        inputs.append(benchmark("benchmark", recipe.benchmark))
    if recipe.run:
        inputs.append(stored("run", recipe.run))
    if recipe.qrels:
        inputs.append(Input("qrels", recipe.qrels, "qrels", read_qrels, "file"))
    if recipe.first_stage_queries:
        path = Path(recipe.first_stage_queries)
        inputs.append(Input("first_stage_queries", path, "queries for the first stage", lambda _: None, "name"))
    runs, adapters = systems[: len(recipe.runs)], systems[len(recipe.runs) :]
    inputs += [stored(f"run.{name}", path) for name, path in runs]
    inputs += [reranker(f"adapter.{name}", str(path), recipe.base) for name, path in adapters]
    inputs += [
        reranker(name, str(path), link.base) for (name, path), link in zip(links_of(recipe), recipe.chain, strict=True)
    ]
    if recipe.explanations is not None:
        check_marking(recipe.explanations)
        inputs += explaining(recipe.explanations, recipe.base)
    return named_as_they_stand(inputs)


def benchmark(name: str, path: Path) -> Input:
    """A benchmark's file or folder, or its name on the hub."""
    return Input(name, path, "a benchmark", _begins_benchmark, "name", glance=_begins_benchmark)


def stored(name: str, path: Path) -> Input:
    """A run, or a folder with one for each task."""
    return Input(name, path, "a TREC run, or a folder with TASK.trec for each task", _begins_run)


def _begins_benchmark(path: Path) -> None:
    """Raise where the path neither exists nor is a name on the hub."""
    if not path.exists() and not is_repository(path):
        load_tasks(path)


def _begins_run(path: Path) -> None:
    """Raise for a file without a ranking; the files of a folder are checked later, with their tasks."""
    if path.is_file() and not any(line.strip() for _, line in numbered_lines(path)):
        read_run(path)


def links_of(recipe: EvaluateRecipe) -> list[tuple[str, Path]]:
    """The chain's models, by their places in it."""
    return [(f"{CHAIN}.{number}", Path(link.model)) for number, link in enumerate(recipe.chain, start=1)]
