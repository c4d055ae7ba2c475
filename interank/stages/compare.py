"""compare: evaluations of the same candidates, and stored runs, scored together into one report."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, create, describe_input, open_artifact
from interank.distributed import refuse_several_processes
from interank.errors import ArtifactError, InputError
from interank.evaluation.candidates import CandidateSettings
from interank.evaluation.comparison import System, check_same_candidates, gather
from interank.evaluation.page import Provenance
from interank.evaluation.rankings import Evaluation, Scoring, ran_on
from interank.evaluation.record import record
from interank.outputs import check_file, write_whole
from interank.recipe import EvaluateRecipe
from interank.stages.evaluation_recipe import evaluation_recipe
from interank.wording import listed, nearby

_PAGE = ".html"
_OVERLAP = "training_overlap.json"


def run(paths: Sequence[Path], out: Path, *, benchmark: Path | None = None, existing: Existing = "refuse") -> Path:
    """Score the systems of several evaluations together.

    Args:
        paths: Outputs of evaluate (at least one), and TREC runs or folders with a TASK.trec for each task.
        out: A folder for an evaluation of all of them, or a file ending in .html for the page alone.
        benchmark: The benchmark's path, if it was moved since the evaluations.
        existing: What to do with an output that exists.

    Returns:
        The folder, or the page.

    Raises:
        InputError: There is no evaluation among the paths, or they rank other candidates.
        ArtifactError: The output exists and may not be replaced.
    """
    refuse_several_processes()
    artifacts = [open_artifact(path, "evaluation") for path in paths if (path / "manifest.json").is_file()]
    files = [path for path in paths if not (path / "manifest.json").is_file()]
    _check_inputs(artifacts, files)
    recipe = evaluation_recipe(artifacts[0], benchmark)
    command = ["interank", "compare", *map(str, paths), *(["--benchmark", str(benchmark)] if benchmark else [])]
    command += ["--out", str(out)]
    if out.suffix == _PAGE:
        if out.exists() and existing == "refuse":
            raise ArtifactError(f"{out} exists; --overwrite replaces it, another --out leaves it alone")
        out.parent.mkdir(parents=True, exist_ok=True)
        check_file("--out", out, ours=_is_page, read=files)
        evaluation, systems = gather(artifacts, files, CandidateSettings.of(recipe), recipe.measures)
        return _page(out, recipe, evaluation, _provenance(command, evaluation, systems))
    inputs = _inputs(artifacts, files, recipe, out)
    place = create(out, "evaluation", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place.path
    evaluation, systems = gather(artifacts, files, CandidateSettings.of(recipe), recipe.measures)
    place.inputs |= _inputs_of(systems, evaluation, out)
    if overlap := _overlaps(artifacts):
        place.write_json(_OVERLAP, overlap)
    record(place.folder, Scoring.of(recipe), evaluation, _provenance(command, evaluation, systems))
    counts = {
        "tasks": len(evaluation.tasks),
        "queries": sum(len(t.queries) for t in evaluation.tasks),
        "systems": len(evaluation.runs),
    }
    return place.finish(seed=recipe.seed, counts=counts, notes={"notes": list(evaluation.notes)}).path


def _check_inputs(artifacts: Sequence[Artifact], files: Sequence[Path]) -> None:
    for path in files:
        if not path.exists():
            raise InputError(f"{path} does not exist{nearby(path)}; name an output of evaluate, or a TREC run")
    if not artifacts:
        raise InputError(
            f"{listed(files)}: no output of evaluate is among these; add one, whose candidates the runs rank"
        )
    check_same_candidates(artifacts)


def _page(out: Path, recipe: EvaluateRecipe, evaluation: Evaluation, provenance: Provenance) -> Path:
    """Write the page alone, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder), Scoring.of(recipe), evaluation, provenance)
        write_whole(out, Path(folder, "report.html").read_bytes())
    return out


def _is_page(path: Path) -> bool:
    return b"interank evaluation" in path.read_bytes()


def _provenance(command: Sequence[str], evaluation: Evaluation, systems: Mapping[str, System]) -> Provenance:
    models = {name: system.path for name, system in systems.items() if system.path and system.stored is None}
    return Provenance(shlex.join(command), models, ran_on(evaluation.rankings))


def _inputs(artifacts: Sequence[Artifact], files: Sequence[Path], recipe: EvaluateRecipe, out: Path) -> dict[str, Any]:
    given: dict[str, Path | None] = {
        **{f"evaluation.{number}": artifact.path for number, artifact in enumerate(artifacts, start=1)},
        **{f"file.{number}": path for number, path in enumerate(files, start=1)},
        "benchmark": recipe.benchmark,
        "run": recipe.run,
        "qrels": recipe.qrels,
        "first_stage_queries": Path(recipe.first_stage_queries) if recipe.first_stage_queries else None,
    }
    return {name: describe_input(path, out) for name, path in given.items() if path is not None and path.exists()}


def _inputs_of(systems: Mapping[str, System], evaluation: Evaluation, out: Path) -> dict[str, Any]:
    """The models and stored runs, by their names in this comparison."""
    described = {}
    for name, system in systems.items():
        if system.path is not None and system.path.exists():
            kind = "run" if name in evaluation.stored else "adapter"
            described[f"{kind}.{name}"] = describe_input(system.path, out)
    return described


def _overlaps(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The overlap of the adapters' training data with the benchmark, by evaluation."""
    files = {str(artifact.path): artifact.path / _OVERLAP for artifact in artifacts}
    return {path: json.loads(file.read_text("utf-8")) for path, file in files.items() if file.is_file()}
