"""The model card of a head: what it was taught by which loss, how it reads a pair, and how it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interank.tasks.judge.card import base_terms, table, validation_table

_VALIDATED = {"eval_nDCG@10": "nDCG@10"}
_LOSSES = {
    "cross_entropy": "softmax cross-entropy over each query's group",
    "binary_cross_entropy": "binary cross-entropy of each document",
    "ranknet": "RankNet on the teacher's soft targets",
    "ranknet_hard": "RankNet on the grades",
    "listnet": "ListNet on the grades",
    "lambda": "LambdaLoss for nDCG@10 on the grades",
}


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a head's card tells."""

    base: str
    notes: Mapping[str, Any]
    """Those of the manifest."""
    recipe: Mapping[str, Any]
    source: str
    """The name of what its groups were drawn from."""
    counts: Mapping[str, int]
    history: Sequence[Mapping[str, float]]
    pictures: Sequence[str]


def head_card(facts: HeadFacts) -> str:
    """README.md in the form that the Hugging Face hub reads."""
    sections = [
        f"---\nbase_model: {facts.base}\nlibrary_name: peft\npipeline_tag: text-ranking\n"
        "tags:\n- reranker\n- cross-encoder\n- lora\n- interank\n---",
        "# A reranker that scores pairs",
        f"A LoRA adapter with a head of one logit for `{facts.base}`, trained by interank. A higher score is a more "
        "relevant document; scores compare the documents of one query.",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="score")\n```\n\n' + table(facts.notes["head"]),
        "## Data\n\n" + _data(facts),
        "## Training\n\n" + table(_making(facts)),
        validation_table(facts.history, facts.pictures, _VALIDATED, "On held-out queries' documents."),
        "## Licence\n\n" + "\n\n".join(base_terms(facts.base)),
    ]
    return "\n\n".join(sections) + "\n"


def _data(facts: HeadFacts) -> str:
    counts = facts.counts
    return (
        f"{counts['groups']} groups of {counts['questions']} queries of `{facts.source}`, of {counts['examples']} "
        "documents. They were not compared with any benchmark, so do not report on one that shares texts with them."
    )


def _making(facts: HeadFacts) -> dict[str, Any]:
    recipe, notes = facts.recipe, facts.notes
    lora = dict(recipe["lora"])
    targets = lora.pop("targets")
    rows = {"loss": _LOSSES[notes["objective"]]}
    if notes["teacher"]:
        rows |= {"teacher": notes["teacher"], "share of distillation": recipe["alpha"]}
        rows |= {"temperature": recipe["temperature"]}
    return rows | {
        "trained further from": recipe["adapter"] or "nothing",
        "base weights": notes["base_weights"],
        "device": notes["device"],
        "LoRA": ", ".join(f"{name} {value}" for name, value in lora.items() if value is not None),
        "adapted layers": ", ".join(targets or ("all linear layers but the head",)),
        "trainer": ", ".join(f"{name} {value}" for name, value in recipe["trainer"].items()) or "interank's defaults",
        "seed": recipe["seed"],
    }
