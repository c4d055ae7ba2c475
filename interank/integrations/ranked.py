"""What every adapter does: check the toolkit's version, open the reranker, rank texts, tell what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from packaging.version import Version

from interank.errors import InputError
from interank.reranking.reranker import Reranker
from interank.types import Document, RankedDocument


def require(package: str, works: str, extra: str) -> None:
    """Stop where a toolkit is older than the oldest version that its tests pass with.

    Args:
        package: Its name on the package index.
        works: That version.
        extra: The extra of interank that installs it.

    Raises:
        InputError: Names the version that was found and the one that works.
    """
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise InputError(f"{package} is not installed; pip install 'interank[{extra}]'") from None
    if Version(found) < Version(works):
        raise InputError(
            f"found {package} {found}, and interank works with {works} or later; pip install '{package}>={works}'"
        )


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
