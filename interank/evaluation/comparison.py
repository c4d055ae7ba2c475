"""Reads finished evaluations back for comparison: their shared tasks, and the runs of each one's systems."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interank.artifact import Artifact
from interank.errors import InputError
from interank.evaluation.candidates import (
    CandidateSettings,
    Task,
    file_of_task,
    load_evaluated,
    notes_on_texts,
    ranking_digest,
)
from interank.evaluation.rankings import COST_KEYS, MACHINE_KEYS, Evaluation, Rankings
from interank.evaluation.scoring import FIRST_STAGE, PERFECT, RANDOM
from interank.evaluation.systems import StoredRun, file_name, named_systems, notes_on_stored, stored_run
from interank.ir.trec import read_run
from interank.ledger import read_rows
from interank.types import Run
from interank.wording import listed


@dataclass(frozen=True, slots=True)
class System:
    """One system of a finished evaluation."""

    runs: dict[str, Run]
    rankings: Rankings | None = None
    """A reranker's rows; None for a stored run."""
    stored: dict[str, StoredRun] | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    """The reranker's model, or the file of a stored run."""

    @property
    def digests(self) -> list[str]:
        """Digests of the rankings by task; systems with equal digests count as one."""
        return [ranking_digest(run) for run in self.runs.values()]


def input_path(artifact: Artifact, name: str) -> Path:
    """The path of one of the evaluation's inputs.

    Raises:
        InputError: The input is no longer at that path.
    """
    path = Path(artifact.path, artifact.manifest["inputs"][name]["path"]).resolve()
    if not path.exists():
        hint = ", or give the benchmark's folder as --benchmark DIR" if name == "benchmark" else ""
        raise InputError(f"{artifact.path}: its {name} was at {path} and is not there; put it back{hint}")
    return path


def check_same_candidates(artifacts: Sequence[Artifact]) -> None:
    """Raise unless all evaluations ranked the same candidates of the same queries.

    Raises:
        InputError: Two evaluations differ; the message names them and the task.
    """
    first, *others = artifacts
    expected = _digests(first)
    for other in others:
        digests = _digests(other)
        if sorted(digests) != sorted(expected):
            raise InputError(
                f"{other.path} evaluates the tasks {listed(sorted(digests))}, and {first.path} the tasks "
                f"{listed(sorted(expected))}; compare evaluations of the same tasks"
            )
        for task, digest in expected.items():
            if digests[task] != digest:
                raise InputError(
                    f"{other.path} ranks other candidates of {task} than {first.path} (digests {digests[task][:12]} "
                    f"and {digest[:12]}); evaluate both with the same first stage, depth and queries"
                )


def _digests(artifact: Artifact) -> dict[str, str]:
    content = json.loads((artifact.path / "candidates.json").read_text("utf-8"))
    return {task: about["digest"] for task, about in content.items()}


def gather(
    artifacts: Sequence[Artifact], files: Sequence[Path], evaluated: CandidateSettings, measures: Sequence[str]
) -> tuple[Evaluation, dict[str, System]]:
    """Load the tasks and every system to compare, from the evaluations and from the stored runs in `files`.

    Raises:
        InputError: The benchmark now gives other candidates, or a run cannot be read.
    """
    tasks = load_evaluated(evaluated, reranking=False)
    expected = _digests(artifacts[0])
    if len(tasks) == len(expected) == 1:
        # A single task is named after its folder, which may have been renamed since.
        tasks = [replace(tasks[0], name=next(iter(expected)))]
    if {task.name: task.facts["digest"] for task in tasks} != expected:
        raise InputError(
            f"{artifacts[0].path}: its benchmark now gives other candidates than when it was evaluated; "
            "give the benchmark as it was then, with --benchmark DIR"
        )
    systems = _distinct([*_of_artifacts(artifacts, tasks, measures), *_of_files(files, tasks, measures)])
    stored = {name: system.stored for name, system in systems.items() if system.stored is not None}
    runs: dict[str, dict[str, Run]] = {FIRST_STAGE: {task.name: task.candidates for task in tasks}}
    first_costs = _costs(artifacts[0], FIRST_STAGE)
    evaluation = Evaluation(
        tasks=tasks,
        runs=runs | {name: system.runs for name, system in systems.items()},
        rankings={name: system.rankings for name, system in systems.items() if system.rankings is not None},
        stored=stored,
        costs={FIRST_STAGE: first_costs} | {name: each.costs for name, each in systems.items() if each.costs},
        notes=_notes(artifacts, tasks, stored),
    )
    return evaluation, systems


def _notes(
    artifacts: Sequence[Artifact], tasks: Sequence[Task], stored: Mapping[str, Mapping[str, StoredRun]]
) -> list[str]:
    """The notes of the evaluations, with new ones on the stored runs."""
    notes = [note for artifact in artifacts for note in artifact.manifest.get("notes", [])]
    notes += [note for name, by_task in stored.items() for note in notes_on_stored(name, by_task)]
    return list(dict.fromkeys([*notes_on_texts(tasks), *notes]))


def _of_artifacts(
    artifacts: Sequence[Artifact], tasks: Sequence[Task], measures: Sequence[str]
) -> Iterator[tuple[str, str, System]]:
    """Each system's name, its evaluation's name, and the system."""
    for artifact in artifacts:
        metrics = json.loads((artifact.path / "metrics.json").read_text("utf-8"))
        for name in metrics:
            if name not in (FIRST_STAGE, RANDOM, PERFECT):
                yield name, artifact.path.resolve().name, _system(artifact, name, tasks, measures)


def _of_files(
    files: Sequence[Path], tasks: Sequence[Task], measures: Sequence[str]
) -> Iterator[tuple[str, str, System]]:
    for name, path in named_systems(files):
        yield name, "run", _stored(path, tasks, measures)


def _distinct(named: Sequence[tuple[str, str, System]]) -> dict[str, System]:
    """Systems by name: duplicates once, and different systems of one name prefixed with their evaluation's name."""
    systems: dict[str, System] = {}
    shared = {name for name, _, one in named for other, _, two in named if name == other and one.digests != two.digests}
    for name, source, system in named:
        label = f"{source} {name}" if name in shared else name
        number = 2
        while label in systems and systems[label].digests != system.digests:
            label, number = f"{source} {name} {number}", number + 1
        systems.setdefault(label, system)
    return systems


def _system(artifact: Artifact, name: str, tasks: Sequence[Task], measures: Sequence[str]) -> System:
    ranked = artifact.path / "rankings" / f"{name}.jsonl"
    if not ranked.is_file():
        return _stored(input_path(artifact, f"run.{name}"), tasks, measures)
    inputs = artifact.manifest["inputs"]
    adapter = inputs.get(f"adapter.{name}")
    folder = artifact.path / "runs"
    several = len(tasks) > 1
    path = folder / file_name(name) if several else folder / f"{file_name(name)}.trec"
    return System(
        runs={task.name: read_run(file_of_task(path, task.name, ["trec"], several=several)) for task in tasks},
        rankings=_rankings(artifact, name, ranked),
        costs=_costs(artifact, name),
        path=Path(artifact.path, adapter["path"]).resolve() if adapter else None,
    )


def _stored(path: Path, tasks: Sequence[Task], measures: Sequence[str]) -> System:
    stored = {task.name: stored_run(path, task, measures, several=len(tasks) > 1) for task in tasks}
    return System({task: each.run for task, each in stored.items()}, stored=stored, path=path)


def _rankings(artifact: Artifact, name: str, path: Path) -> Rankings:
    """A reranker's rows, with each query's cost and machine where they were recorded."""
    machine = {key: value for key, value in _cost_file(artifact).items() if key in MACHINE_KEYS and value}
    spent = artifact.path / "cost.jsonl"
    costs = {
        (row["task"], row["query_id"]): {key: row[key] for key in COST_KEYS if key in row}
        for row in (read_rows(spent) if spent.is_file() else ())
        if row["system"] == name
    }
    rows = {(row["task"], row["query_id"]): row for row in read_rows(path)}
    return {key: {**row, **machine, **costs.get(key, {})} for key, row in rows.items()}


def _costs(artifact: Artifact, name: str) -> dict[str, Any]:
    """The total cost of all queries, from the recorded mean of a query."""
    by_query = _cost_file(artifact)["per_query"].get(name, {})
    queries = artifact.manifest["counts"]["queries"]
    return {key: value * queries if value is not None else None for key, value in by_query.items() if key in COST_KEYS}


def _cost_file(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads((artifact.path / "cost.json").read_text("utf-8")))
