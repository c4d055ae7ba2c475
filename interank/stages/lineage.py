"""Where an adapter comes from: its teacher, data, distilled adapter and rewards, for the manifest and its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.judgments import read_judgments
from interank.stages.validated import HEADS, sentences, table
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.order.recipe import RlOrder
from interank.tasks.recipes import RlRecipe

# What judgments' manifests tell of who made them.
_TEACHERS = ("teacher", "teacher_origin", "engine", "grades")


def lineage(start: Artifact, judgments: Path, base: str) -> dict[str, Any]:
    """The base, the adapter that was continued, and the judgments with their teacher and sites."""
    examples = read_judgments(judgments)
    manifest = open_artifact(judgments).manifest if (judgments / MANIFEST).is_file() else {}
    return {
        "base": base,
        "distilled_adapter": {"digest": start.digest, "made_of": start.lineage()},
        "judgments": {
            **{name: manifest[name] for name in _TEACHERS if name in manifest},
            "number": len(examples),
            "sites": dict(sorted(Counter(item.source.site for item in examples).items())),
        },
    }


def write_card(path: Path, recipe: RlRecipe, notes: Mapping[str, Any]) -> None:
    """The adapter's card: what made it, what it was rewarded for, and what that did to its validation."""
    past = notes["lineage"]
    judged = past["judgments"]
    sites = ", ".join(f"{site} ({number})" for site, number in judged["sites"].items())
    does = "orders lists of documents" if recipe.task == "order" else "judges relevance"
    lines = [
        f"---\nbase_model: {past['base']}\nlibrary_name: peft\ntags: [reranking, grpo, interank]\n---",
        f"# An adapter that {does}, refined by rl",
        f"* Base model: {past['base']}",
        f"* Continued from the adapter whose manifest has the sha256 `{past['distilled_adapter']['digest']}`",
        f"* Judgments: {judged['number']} by {judged.get('teacher', 'an unnamed teacher')}, of {sites or 'no site'}",
        f"* Algorithm: {_algorithm(recipe, notes)}",
        "## Rewards",
        "| reward | weight | parameters |\n|---|---|---|\n"
        + "\n".join(f"| {entry.use} | {entry.weight:g} | {dict(entry.params) or ''} |" for entry in recipe.rewards),
    ]
    if notes.get("validation"):
        lines += _validation(notes["validation"])
    path.write_text("\n\n".join(lines) + "\n", "utf-8")


def _algorithm(recipe: RlRecipe, notes: Mapping[str, Any]) -> str:
    if isinstance(recipe, RlOrder):
        return f"grpo, on lists of at most {recipe.window} documents"
    assert isinstance(recipe, RlJudge)
    return (
        f"{recipe.algorithm}, grade gradient {recipe.grade.gradient}, {notes['reason_share']:.0%} of the queries "
        "explanation first"
    )


def _validation(found: Mapping[str, Any]) -> list[str]:
    rows = [HEADS, ("---",) * len(HEADS), *table(found)]
    return ["## Validation", "\n".join(f"| {' | '.join(row)} |" for row in rows), " ".join(sentences(found))]
