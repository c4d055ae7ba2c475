"""Functions that all adapters use: open the reranker, rank texts, and collect each document's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interank.reranking.reranker import Reranker
from interank.types import Document, RankedDocument


def opened(reranker: Reranker | str | Any) -> Reranker:
    """The reranker itself, or the one opened from a model's name or folder."""
    return reranker if isinstance(reranker, Reranker) else Reranker(reranker)


def ranked(
    reranker: Reranker, query: str, texts: Sequence[str], top_k: int | None = None, explain: int | None = None
) -> list[tuple[int, RankedDocument]]:
    """The ranked texts, best first, each with its index in `texts`; empty without texts."""
    if not texts:
        return []
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    return [(int(item.doc_id), item) for item in reranker.rank(query, documents, top_k, explain)]


def facts(item: RankedDocument) -> dict[str, Any]:
    """A ranked document's score, grade, explanation and the like as plain data for a toolkit's metadata."""
    values = {
        "relevance_score": item.score,
        "relevance_grade": None if item.relevance is None else int(item.relevance),
        "grade_probabilities": None if item.probabilities is None else list(item.probabilities),
        "label_mass": item.label_mass,
        "probability": item.probability,
        "explanation": item.explanation,
        "truncated_tokens": item.truncated or None,
    }
    return {name: value for name, value in values.items() if value is not None}
