"""What every adapter does: open the reranker, rank texts, tell what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interank.reranking.reranker import Reranker
from interank.types import Document, RankedDocument


def opened(reranker: Reranker | str | Any) -> Reranker:
    """The reranker, or the one that a name or a folder stands for."""
    return reranker if isinstance(reranker, Reranker) else Reranker(reranker)


def ranked(
    reranker: Reranker, query: str, texts: Sequence[str], top_k: int | None = None, explain: int | None = None
) -> list[tuple[int, RankedDocument]]:
    """The texts best first, each with its place in what was given; of no texts, nothing."""
    if not texts:
        return []
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    return [(int(item.doc_id), item) for item in reranker.rank(query, documents, top_k, explain)]


def facts(item: RankedDocument) -> dict[str, Any]:
    """What is known of a document beside its score, as plain data for a toolkit's metadata."""
    known = {
        "relevance_score": item.score,
        "relevance_grade": None if item.relevance is None else int(item.relevance),
        "grade_probabilities": None if item.probabilities is None else list(item.probabilities),
        "label_mass": item.label_mass,
        "probability": item.probability,
        "explanation": item.explanation,
        "truncated_tokens": item.truncated or None,
    }
    return {name: value for name, value in known.items() if value is not None}
