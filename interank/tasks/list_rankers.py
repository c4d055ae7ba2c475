"""The base of rerankers that ask one model about windows of documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from interank.engines.protocol import Engine
from interank.progress import tell_cut
from interank.settings import ListwiseRecipe
from interank.tasks.documents import naming, warn_unlearned
from interank.tasks.ranks import ListCounts, OneModel
from interank.tasks.window_prompts import WindowEncoder
from interank.types import Query

_Encoder = TypeVar("_Encoder", bound=WindowEncoder[Any])


class WindowRanker(OneModel, Generic[_Encoder]):
    """A reranker that asks one model about windows of documents, by one plan of the windows."""

    engine: Engine

    def __init__(self, engine: Engine, encoder: _Encoder, settings: ListwiseRecipe) -> None:
        self.engine = engine
        self.encoder = encoder
        self.settings = settings
        self._counts = ListCounts()
        self._lock = threading.RLock()

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        follows: bool = self.encoder.settings.follows
        return follows

    @property
    def counts(self) -> ListCounts:
        """See `OneModel`."""
        return self._counts

    def query_cut(self, query: Query) -> int:
        """See `OneModel`."""
        return self.encoder.query_cut(query)

    def warn_of(self, query: Query) -> None:
        """Log that a query is cut, or brings an instruction that the model has not learned to follow."""
        tell_cut(query.query_id, self.query_cut(query))
        warn_unlearned(query, follows=self.follows)

    @contextmanager
    def asking(self, query: Query) -> Iterator[None]:
        """Lock the engine while a query's windows are ranked, and name the query in errors."""
        self.warn_of(query)
        with self._lock, naming(query, []):
            yield
