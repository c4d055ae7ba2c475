"""What evaluate reads, each opened before anything is ranked."""

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
    """Open what the recipe names, before anything is loaded or made; what it is.

    Raises:
        InterankError: Something of it cannot be used.
    """
    found = named(recipe)
    check_inputs(found)
    systems = named_systems([*recipe.runs, *recipe.adapters])
    fits = fits_by_adapter(recipe.fits, recipe.mode, systems[len(recipe.runs) :])
    return [
        *found,
        *(
            Input(f"fit.{number}", applied.path, "what interank fit found", read_fit, "file")
            for number, applied in enumerate(fits.values(), start=1)
        ),
    ]


def named(recipe: EvaluateRecipe) -> list[Input]:
    """What goes in, by its part: all but the fits, of which the adapters tell which is whose."""
    systems = named_systems([*recipe.runs, *recipe.adapters])
    found = []
    if recipe.benchmark:
        found.append(benchmark("benchmark", recipe.benchmark))
    if recipe.run:
        found.append(stored("run", recipe.run))
    if recipe.qrels:
        found.append(Input("qrels", recipe.qrels, "qrels", read_qrels, "file"))
    if recipe.first_stage_queries:
        path = Path(recipe.first_stage_queries)
        found.append(Input("first_stage_queries", path, "queries for the first stage", lambda _: None, "name"))
    runs, adapters = systems[: len(recipe.runs)], systems[len(recipe.runs) :]
    found += [stored(f"run.{name}", path) for name, path in runs]
    found += [reranker(f"adapter.{name}", str(path), recipe.base) for name, path in adapters]
    found += [
        reranker(name, str(path), link.base) for (name, path), link in zip(links_of(recipe), recipe.chain, strict=True)
    ]
    if recipe.explanations is not None:
        check_marking(recipe.explanations)
        found += explaining(recipe.explanations, recipe.base)
    return named_as_they_stand(found)


def benchmark(name: str, path: Path) -> Input:
    """A benchmark's file or folder, or its name on the hub."""
    return Input(name, path, "a benchmark", _begins_benchmark, "name", glance=_begins_benchmark)


def stored(name: str, path: Path) -> Input:
    """A run, or a folder with one for each task."""
    return Input(name, path, "a TREC run, or a folder with TASK.trec for each task", _begins_run)


def _begins_benchmark(path: Path) -> None:
    """Stop where neither a benchmark's file or folder stands nor its name on the hub is meant."""
    if not path.exists() and not is_repository(path):
        load_tasks(path)


def _begins_run(path: Path) -> None:
    """Stop at a file that ranks nothing; a folder's are looked at with the tasks that they are of."""
    if path.is_file() and not any(line.strip() for _, line in numbered_lines(path)):
        read_run(path)


def links_of(recipe: EvaluateRecipe) -> list[tuple[str, Path]]:
    """The chain's models, by their places in it."""
    return [(f"{CHAIN}.{number}", Path(link.model)) for number, link in enumerate(recipe.chain, start=1)]
