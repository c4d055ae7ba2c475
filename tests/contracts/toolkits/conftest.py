"""A tiny judge for all toolkits; each toolkit is there in an environment of its own, which `make contracts` makes."""

from __future__ import annotations

import pytest

from interank import Reranker
from interank.types import RankedDocument
from tests.contracts.texts import QUERY, TEXTS
from tests.support.tiny import strong_adapter


@pytest.fixture(scope="session")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Reranker:
    return Reranker(strong_adapter(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="session")
def expected(reranker: Reranker) -> list[tuple[str, RankedDocument]]:
    """The texts best first, with what interank says of each."""
    return [(TEXTS[int(item.doc_id)], item) for item in reranker.rank(QUERY, TEXTS, explain=1)]
