"""Ranker of Jina's listwise models, which read all documents of a query together; see `engines/late_lists`."""

from __future__ import annotations

from collections.abc import Sequence

from interank.engines.late_lists import LateLists, reads_lists
from interank.engines.models import find_model
from interank.engines.soundness import require_scores
from interank.errors import InputError
from interank.progress import tell_cut
from interank.tasks.documents import by_scores, naming
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import Ranking, UngradedRanker
from interank.types import Document, Query, RankedDocument


class LateListRanker(UngradedRanker):
    """A reranker whose score of a document depends on those that are read with it; it gives no grades."""

    engine: LateLists
    kind = "a reranker that compares lists"

    def __init__(self, engine: LateLists) -> None:
        self.engine = engine

    def query_cut(self, query: Query) -> int:
        """See `OneModel`."""
        return self.engine.query_cut(query.text)

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """See `OneModel`.

        Raises:
            InputError: The documents are more than the model reads.
        """
        if not documents:
            return []
        tell_cut(query.query_id, self.query_cut(query))
        with naming(query, documents):
            scores, cuts = self.engine.scores(query.text, [document.full_text for document in documents])
            require_scores(scores)
        ranked = [
            RankedDocument(document.doc_id, score, truncated=cut)
            for document, score, cut in zip(documents, scores, cuts, strict=True)
        ]
        return by_scores(query.query_id, ranked)


def takes(settings: RankerSettings) -> bool:
    """True where the model is, by its files, such a reranker."""
    return settings.loaded is None and settings.mode == "score" and reads_lists(str(settings.model))


def open_ranker(settings: RankerSettings) -> LateListRanker:
    """The reranker.

    Raises:
        InputError: Another engine or precision is asked for.
        ModelError: The model is not available.
    """
    name = str(settings.model)
    if settings.engine != "transformers" or settings.precision != "exact":
        raise InputError(
            f"{name} runs on engine transformers in exact precision alone; leave engine {settings.engine} and "
            f"precision {settings.precision} out"
        )
    return LateListRanker(LateLists(find_model(name)))
