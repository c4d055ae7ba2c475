"""The lineage of an adapter made by rl: base, distilled adapter, judgments and rewards, for manifest and card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from interank import cards
from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.judgments import each_judgment
from interank.settings import RewardRecipe
from interank.stages.trials import HEADS, sentences, table
from interank.tasks.protocol import Policy

# Keys of judgments' manifests on the teacher.
_TEACHERS = ("teacher", "teacher_origin", "engine", "grades")


def lineage(start: Artifact, judgments: Path, base: str) -> dict[str, Any]:
    """The base, the adapter that rl started from, and the judgments with their teacher and sites."""
    sites = Counter(item.source.site for item in each_judgment(judgments))
    manifest = open_artifact(judgments).manifest if (judgments / MANIFEST).is_file() else {}
    return {
        "base": base,
        "distilled_adapter": {"digest": start.digest, "made_of": start.lineage()},
        "judgments": {
            **{name: manifest[name] for name in _TEACHERS if name in manifest},
            "number": sites.total(),
            "sites": dict(sorted(sites.items())),
        },
    }


def policy_card(policy: Policy, rewarded: Iterable[RewardRecipe], notes: Mapping[str, Any]) -> ModelCard:
    """The adapter's card: lineage, rewards and validation."""
    past = notes["lineage"]
    judged = past["judgments"]
    teacher = cards.name(judged.get("teacher", "an unnamed teacher"))
    sites = ", ".join(f"{cards.name(site)} ({number})" for site, number in judged["sites"].items())
    rewards = ((entry.use, f"{entry.weight:g}", dict(entry.params) or "") for entry in rewarded)
    sections = [
        f"# An adapter that {policy.does}, refined by rl",
        f"* Base model: {cards.name(past['base'])}",
        f"* Continued from the adapter whose manifest has the sha256 `{past['distilled_adapter']['digest']}`",
        f"* Judgments: {judged['number']} by {teacher}, of {sites or 'no site'}",
        f"* Algorithm: {policy.algorithm}",
        "## Rewards",
        cards.table(("reward", "weight", "parameters"), rewards),
    ]
    if trials := notes.get("validation"):
        sections += ["## Validation", cards.table(HEADS, table(trials)), " ".join(sentences(trials))]
    sections.append(cards.licence(past["base"]))
    return cards.model_card(sections, library="peft", tags=["reranker", "lora", "grpo"], base=past["base"])
