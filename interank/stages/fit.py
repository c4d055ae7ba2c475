"""fit: learns from an evaluation of one split how to finish the same reranker's rankings on other splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, Artifact, model_digest, open_artifact
from interank.distributed import refuse_several_processes
from interank.errors import ArtifactError, InputError
from interank.evaluation.candidates import CandidateSettings, Task
from interank.evaluation.comparison import gather
from interank.evaluation.fitting import FitSettings, fitted, own_grades, which_to_name
from interank.evaluation.rankings import Rankings
from interank.modes import FITTED_MODES
from interank.recipe import EvaluateRecipe
from interank.reranking.fitting import Fit, FittedOn, Origin, query_digest, store_fit, stored_place, write_fit
from interank.stages.evaluation_recipe import evaluation_recipe
from interank.wording import listed


def fit(
    evaluation: Path, out: Path, settings: FitSettings, *, benchmark: Path | None = None, overwrite: bool = False
) -> Fit:
    """Fit fusion, calibrator and abstention on the queries of an evaluation, and write them to a file.

    Raises:
        ArtifactError: The file exists, or the evaluation cannot be read.
        InputError: The evaluation holds no such reranker, or nothing can be fitted on it.
    """
    refuse_several_processes()
    if out.exists() and not overwrite:
        raise ArtifactError(f"{out} exists; --overwrite replaces it, another --out leaves it alone")
    made = _made(open_artifact(evaluation, "evaluation"), settings, benchmark)
    write_fit(made, out)
    return made


def fit_into(
    evaluation: Path, model: Path, settings: FitSettings, *, benchmark: Path | None = None, overwrite: bool = False
) -> tuple[Fit, Path]:
    """As `fit`, for the reranker of the evaluation that is this model; the fit is stored in the model's folder.

    The model's manifest does not change, so that artifacts made from the model stay valid.

    Args:
        evaluation: An output of evaluate.
        model: An output of distill, rl or merge: the evaluated adapter, or the model that it was merged into.
        settings: The settings of the fit.
        benchmark: The benchmark's path, if it was moved.
        overwrite: Replace a stored fit of the same mode.

    Raises:
        ArtifactError: The folder holds no such model or stores a fit already, or the evaluation cannot be read.
        InputError: The evaluation holds no such reranker, or nothing can be fitted on it.
    """
    refuse_several_processes()
    digest = _storing(model)
    artifact = open_artifact(evaluation, "evaluation")
    settings = replace(settings, system=_of_model(artifact, model, digest, settings.system))
    there = stored_place(model, str(artifact.recipe()["mode"]))
    if there and not overwrite:
        raise ArtifactError(f"{there} exists; --overwrite replaces it, --out FILE leaves it alone")
    made = _made(artifact, settings, benchmark)
    return made, store_fit(made, model)


def _storing(model: Path) -> str:
    """The digest of the adapter in a folder that can store a fit, or of the adapter merged into the model there."""
    if (model / MANIFEST).is_file():
        return open_artifact(model, "adapter").digest
    digest = model_digest(model)
    if digest is None:
        raise ArtifactError(
            f"{model} is no model that interank made; give an output of distill, rl or merge, or use --out FILE"
        )
    return digest


def _of_model(artifact: Artifact, model: Path, digest: str, wanted: str | None) -> str:
    """The name of the evaluation's adapter that is the model."""
    adapters: dict[str, str | None] = {
        name.removeprefix("adapter."): _model(given)
        for name, given in artifact.manifest["inputs"].items()
        if name.startswith("adapter.")
    }
    own = [name for name, each in adapters.items() if each == digest and wanted in (None, name)]
    if len(own) != 1:
        described = [f"{name} ({each[:12] if each else 'no artifact'})" for name, each in adapters.items()]
        many = "several of them are" if own else "none of them is"
        raise InputError(
            f"{artifact.path} evaluates {listed(described, 'no adapter')}, and {many} {model} ({digest[:12]})"
            f"{f' under the name {wanted}' if wanted else ''}; evaluate that model, or name one with --system"
        )
    return own[0]


def _model(given: Mapping[str, Any]) -> str | None:
    """The digest of an adapter, or of the adapter that was merged into a model."""
    digest = given.get("digest") if given.get("kind") == "adapter" else given.get("merged_from")
    return None if digest is None else str(digest)


def _made(artifact: Artifact, settings: FitSettings, benchmark: Path | None) -> Fit:
    if not 0 < settings.coverage <= 1:
        raise InputError(f"coverage is {settings.coverage:g}; give a share above 0 and up to 1")
    recipe = evaluation_recipe(artifact, benchmark)
    gathered, _ = gather([artifact], [], CandidateSettings.of(recipe), recipe.measures)
    name = _system(artifact, gathered.rankings, settings.system)
    return fitted(_origin(artifact, recipe, name, gathered.tasks), gathered.tasks, gathered.rankings[name], settings)


def _system(artifact: Artifact, rankings: Mapping[str, Rankings], wanted: str | None) -> str:
    """The name of the reranker to fit, which grades and has scores of its own."""
    mode = artifact.recipe()["mode"]
    graded = [name for name, rows in rankings.items() if mode in FITTED_MODES and own_grades(rows)]
    if wanted is None and len(graded) == 1:
        return graded[0]
    if wanted not in graded:
        raise InputError(f"{artifact.path} {which_to_name(rankings, graded, wanted)}")
    return wanted


def _origin(artifact: Artifact, recipe: EvaluateRecipe, name: str, tasks: Sequence[Task]) -> Origin:
    inputs = artifact.manifest["inputs"]
    given, benchmark = inputs.get(f"adapter.{name}", {}), inputs.get("benchmark", {})
    place = Path(str(recipe.benchmark)).resolve().name
    if recipe.mode not in ("score", "reason"):
        raise TypeError(f"mode {recipe.mode} has no scores of its own")
    return Origin(
        evaluation=artifact.digest,
        system=name,
        model=_model(given),
        mode=recipe.mode,
        benchmark=f"{place} ({recipe.split})" if recipe.split else place,
        benchmark_digest=benchmark.get("digest"),
        measure=recipe.measures[0],
        relevant_from=recipe.relevant_from,
        tasks={
            task.name: FittedOn(task.facts["first_stage"], task.facts["depth"], task.facts["digest"]) for task in tasks
        },
        queries={query_digest(query): query.query_id for task in tasks for query in task.queries},
    )
