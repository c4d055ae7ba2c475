"""The model card of a head: its loss and data, how it reads a pair, and its validation figures."""

from __future__ import annotations

from typing import Any

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.protocol import CardFacts

_VALIDATED = {"eval_nDCG@10": "nDCG@10"}
_LOSSES = {
    "cross_entropy": "softmax cross-entropy over each query's group",
    "binary_cross_entropy": "binary cross-entropy of each document",
    "ranknet": "RankNet on the teacher's soft targets",
    "ranknet_hard": "RankNet on the grades",
    "listnet": "ListNet on the grades",
    "lambda": "LambdaLoss for nDCG@10 on the grades",
}


def head_card(made: CardFacts, source: str) -> ModelCard:
    """The card of a head; `source` names the data from which its groups were drawn."""
    sections = [
        "# A reranker that scores pairs",
        f"A LoRA adapter with a head of one logit for `{made.base}`, trained by interank. A higher score is a more "
        "relevant document; scores compare the documents of one query.",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="score")\n```\n\n' + cards.values(made.notes["head"]),
        "## Data\n\n" + _data(made, source),
        cards.training_values(made.recipe, made.notes, **_settings(made)),
        cards.validation(made.history, made.pictures, _VALIDATED, "On held-out queries' documents."),
        cards.licence(made.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "cross-encoder", "lora"], base=made.base)


def _data(made: CardFacts, source: str) -> str:
    counts = made.counts
    return (
        f"{counts['groups']} groups of {counts['questions']} queries of `{source}`, of {counts['examples']} "
        "documents. They were not compared with any benchmark, so do not report on one that shares texts with them."
    )


def _settings(made: CardFacts) -> dict[str, Any]:
    recipe, notes = made.recipe, made.notes
    rows = {"loss": _LOSSES[notes["objective"]]}
    if notes["teacher"]:
        rows |= {"teacher": notes["teacher"], "share of distillation": recipe["alpha"]}
        rows |= {"temperature": recipe["temperature"]}
    return rows | {"trained further from": recipe["adapter"] or "nothing"}
