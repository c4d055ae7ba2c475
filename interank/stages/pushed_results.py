"""An evaluation's measures in the forms in which the hub reads them: `model-index` and `.eval_results`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from interank.artifact import open_artifact
from interank.errors import InputError
from interank.wording import counted

_BASELINES = ("first stage", "random order", "perfect order")


def results_of(folder: Path, repo: str, day: str) -> tuple[list[EvalResult], str]:
    """The measures of the one model that an evaluation is of, each with first stage, depth and query form.

    Args:
        folder: The evaluation.
        repo: The model's name on the hub.
        day: When it is told, as 2026-11-29.

    Returns:
        The rows of `model-index`, and the text of a file of `.eval_results`.

    Raises:
        ArtifactError: The folder is no evaluation.
        InputError: It is of no model, or of several.
    """
    open_artifact(folder, "evaluation")
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    candidates = json.loads((folder / "candidates.json").read_text("utf-8"))
    models = [name for name in metrics if name not in _BASELINES]
    if len(models) != 1:
        raise InputError(f"{folder} evaluates {counted(len(models), 'model')}; give one of the pushed model alone")
    rows: list[EvalResult] = []
    entries: list[EvalResultEntry] = []
    for task, found in metrics[models[0]]["tasks"].items():
        facts = candidates.get(task, {})
        notes = (
            f"first stage {facts.get('first_stage')}, depth {facts.get('depth')}, queries "
            f"{facts.get('first_stage_queries')}, {found['queries']} queries"
        )
        for measure, value in found.items():
            if not isinstance(value, dict):
                continue
            mean = float(value["mean"])
            rows.append(
                EvalResult(
                    task_type="text-ranking",
                    dataset_type=task,
                    dataset_name=task,
                    metric_type=measure,
                    metric_value=round(mean, 4),
                    metric_name=f"{measure} ({notes})",
                )
            )
            entries.append(
                EvalResultEntry(
                    dataset_id=task if "/" in task else f"interank/{task}",
                    task_id=measure,
                    value=round(mean, 4),
                    date=day,
                    notes=notes,
                    source_url=f"https://huggingface.co/{repo}",
                    source_name=repo,
                )
            )
    listed: Any = eval_result_entries_to_yaml(entries)
    return rows, yaml.safe_dump(listed, sort_keys=False, allow_unicode=True)
