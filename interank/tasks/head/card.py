"""The model card of a head: what it was taught by which loss, how it reads a pair, and how it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCard

from interank import cards

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


def head_card(facts: HeadFacts) -> ModelCard:
    """The card of its adapter."""
    sections = [
        "# A reranker that scores pairs",
        f"A LoRA adapter with a head of one logit for `{facts.base}`, trained by interank. A higher score is a more "
        "relevant document; scores compare the documents of one query.",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="score")\n```\n\n' + cards.values(facts.notes["head"]),
        "## Data\n\n" + _data(facts),
        cards.training_values(facts.recipe, facts.notes, **_making(facts)),
        cards.validation(facts.history, facts.pictures, _VALIDATED, "On held-out queries' documents."),
        cards.licence(facts.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "cross-encoder", "lora"], base=facts.base)


def _data(facts: HeadFacts) -> str:
    counts = facts.counts
    return (
        f"{counts['groups']} groups of {counts['questions']} queries of `{facts.source}`, of {counts['examples']} "
        "documents. They were not compared with any benchmark, so do not report on one that shares texts with them."
    )


def _making(facts: HeadFacts) -> dict[str, Any]:
    recipe, notes = facts.recipe, facts.notes
    rows = {"loss": _LOSSES[notes["objective"]]}
    if notes["teacher"]:
        rows |= {"teacher": notes["teacher"], "share of distillation": recipe["alpha"]}
        rows |= {"temperature": recipe["temperature"]}
    return rows | {"trained further from": recipe["adapter"] or "nothing"}
