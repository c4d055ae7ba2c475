"""A report's provenance: inputs with digests, models and their training data, versions, machine, command."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.evaluation.candidates import Task
from interank.evaluation.rankings import Scoring
from interank.plots import read_log
from interank.plots.curves import Log

_PACKAGES = ("interank", "torch", "transformers", "peft", "trl", "vllm", "pytrec_eval-terrier", "numpy", "matplotlib")
_LOG = "log.jsonl"

Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts from which the page's provenance sections are made."""

    command: str
    """The command that makes the page again."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """By system, the path of the reranker's model."""
    ran_on: Mapping[str, str] = field(default_factory=dict)
    """By system, engine, device and precision, where they are known."""


def sections(provenance: Provenance, scoring: Scoring, tasks: Sequence[Task]) -> list[tuple[str, Rows]]:
    """The page's provenance sections: titles with their rows."""
    titled = [(f"Candidates of {task.name}", _of_task(task)) for task in tasks]
    for name, path in provenance.adapters.items():
        rows = [("ran on", provenance.ran_on[name])] if name in provenance.ran_on else []
        titled.append((f"Model of {name}", [*rows, *_of_model(path)]))
    settings = [("benchmark", str(scoring.benchmark)), ("mode", scoring.mode), ("seed", str(scoring.seed))]
    settings += [("measures", ", ".join(scoring.measures)), ("relevant from grade", str(scoring.relevant_from))]
    return [*titled, ("Settings", settings), ("Software and machine", _machine())]


def today() -> str:
    """Today's date in UTC."""
    return datetime.now(UTC).date().isoformat()


def _of_task(task: Task) -> Rows:
    about = task.facts
    rows = [
        ("first stage", f"{about['first_stage']}, tag {about['tag']}, asked {about['first_stage_queries']} queries"),
        ("depth and ties", f"{about['depth']}; ties {about['ties']}"),
        ("digest", f"sha256 {about['digest']}"),
        ("queries", str(about["queries"])),
        ("qrels", str(about["qrels"])),
        ("files", "; ".join(f"{role}: {', '.join(names)}" for role, names in about["sources"].items())),
    ]
    if about["excluded_candidates_removed"]:
        rows.append(("excluded candidates removed", str(about["excluded_candidates_removed"])))
    met = "; ".join(f"{name}: {count}" for name, count in about["met"].items())
    return [*rows, ("met while reading", met)] if met else rows


def _of_model(path: Path) -> Rows:
    """Rows from an adapter's manifest and those of its ancestors; a plain model has only its path."""
    if not (path / MANIFEST).is_file():
        return [("model", str(path))]
    artifact = open_artifact(path)
    manifest = artifact.manifest
    rows = [("adapter", f"{path.name}, sha256 {artifact.digest}")]
    keys = ("base", "base_origin", "quantisation", "objective", "prompt_hash")
    rows += [(key.replace("_", " "), str(manifest[key])) for key in keys if key in manifest]
    # A language model has a prompt; a head says how it reads a pair.
    rows += [
        (key, ", ".join(f"{name} {value}" for name, value in manifest[key].items()))
        for key in ("prompt", "head")
        if key in manifest
    ]
    if rewards := manifest.get("rewards"):
        rows.append(("rewards", ", ".join(f"{each['weight']} {each['use']}" for each in rewards)))
    rows += [
        (
            "trained from",
            f"{ancestor['name']}: {ancestor['kind']} {Path(ancestor['path']).name}, sha256 {ancestor['digest']}",
        )
        for ancestor in artifact.lineage()
    ]
    # Two inputs may come from the same place.
    return list(dict.fromkeys([*rows, *_of_judgments(artifact)]))


def _of_judgments(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Rows on the training data's teacher and decontamination."""
    judgments, missing = artifact.ancestors("judgments")
    for each in judgments:
        teacher, removed = each.manifest.get("teacher"), each.manifest.get("decontamination")
        if teacher:
            yield "teacher", f"{teacher}, grades by {each.manifest.get('grades')}"
        removals = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in (removed or {}).items())
        yield "decontamination", removals or "none recorded"
    for path in missing:
        yield "training data not at hand", path


def training_logs(adapters: Mapping[str, Path]) -> dict[str, Log]:
    """The training logs of the systems' models and of the adapters that they were trained from."""
    logs: dict[str, Log] = {}
    for name, path in adapters.items():
        if not (path / MANIFEST).is_file():
            continue
        artifact = open_artifact(path, "adapter")
        for each in (artifact, *artifact.ancestors("adapter")[0]):
            log = each.path / _LOG
            if log.is_file():
                label = name if each is artifact else each.path.name
                logs.setdefault(f"{label} ({each.recipe()['stage']})", read_log(log))
    return logs


def _machine() -> Rows:
    versions = [f"{name} {number}" for name in _PACKAGES if (number := _version(name))]
    processor = platform.processor() or platform.machine()
    return [
        ("versions", ", ".join(versions)),
        ("Python", platform.python_version()),
        ("machine", f"{platform.system()} {platform.release()}, {processor}, {os.cpu_count()} cores"),
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
