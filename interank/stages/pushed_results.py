"""An evaluation in the forms that the hub reads: a model's `model-index` and `.eval_results`, a data set's card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard, EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from interank import cards
from interank.artifact import open_artifact
from interank.errors import InputError
from interank.wording import counted

_BASELINES = ("first stage", "random order", "perfect order")


def results_of(folder: Path, repo: str, day: str) -> tuple[list[EvalResult], str]:
    """The measures of an evaluation's one model, each with first stage, depth and query form.

    Args:
        folder: The evaluation.
        repo: The model's name on the hub.
        day: The date of the entry, as 2026-11-29.

    Returns:
        The rows of `model-index`, and the text of a file of `.eval_results`.

    Raises:
        ArtifactError: The folder is no evaluation.
        InputError: It evaluates no model, or several.
    """
    metrics, candidates = _read(folder)
    models = [name for name in metrics if name not in _BASELINES]
    if len(models) != 1:
        raise InputError(f"{folder} evaluates {counted(len(models), 'model')}; give one of the pushed model alone")
    rows: list[EvalResult] = []
    entries: list[EvalResultEntry] = []
    for task, found in metrics[models[0]]["tasks"].items():
        notes = f"{_candidates(candidates.get(task, {}))}, {found['queries']} queries"
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


def results_card(folder: Path) -> DatasetCard:
    """The card of an evaluation's rankings, with every system's measures, tasks and candidates.

    Raises:
        ArtifactError: The folder is no evaluation.
    """
    metrics, candidates = _read(folder)
    tasks = {task: found for found in metrics.values() for task, found in found["tasks"].items()}
    measures = list(dict.fromkeys(name for found in tasks.values() for name in found if isinstance(found[name], dict)))
    rows = [
        (cards.name(system), task, *(f"{told[measure]['mean']:.4f}" if measure in told else "" for measure in measures))
        for system, found in metrics.items()
        for task, told in found["tasks"].items()
    ]
    ranked = sorted(path.stem for path in (folder / "rankings").glob("*.jsonl"))
    sections = [
        "# Rankings, and what they measure",
        "What rerankers made of the candidates of a first stage, evaluated by interank. `runs/` has the rankings in "
        "TREC's form, `rankings/` what each reranker said of each document, `per_query.jsonl` each query's measures.",
        "\n".join(
            f"- {task}: {_candidates(facts)}, {tasks[task]['queries']} queries"
            for task, facts in candidates.items()
            if task in tasks
        ),
        cards.table(("system", "task", *measures), rows),
    ]
    about: dict[str, Any] = {"task_categories": ["text-ranking"], "tags": ["interank", "reranking", "trec-run"]}
    if ranked:
        about["configs"] = [{"config_name": name, "data_files": f"rankings/{name}.jsonl"} for name in ranked]
    return cards.dataset_card(sections, **about)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The measures of each system, and the facts about each task's candidates."""
    open_artifact(folder, "evaluation")
    read = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("metrics", "candidates")}
    return read["metrics"], read["candidates"]


def _candidates(facts: dict[str, Any]) -> str:
    stage, depth, queries = (facts.get(name) for name in ("first_stage", "depth", "first_stage_queries"))
    return f"first stage {stage}, depth {depth}, queries {queries}"
