"""A model for mteb: a reranker in any mode, which reranks a task's candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.integrations.reranking import opened
from interank.ir.trec import read_run
from interank.types import Document, Query
from interank.versions import require

try:
    from mteb.models import ModelMeta
finally:
    require("mteb", "2.26", "mteb")


class InterankSearch:
    """Implements mteb's SearchProtocol by ranking each query's candidates as a whole, so that all modes work."""

    def __init__(self, reranker: Any, *, name: str = "interank/reranker", revision: str = "local") -> None:
        """Wrap a `Reranker`, or open one; results name it `name`, as `owner/model`."""
        self.reranker = opened(reranker)
        self._corpus: dict[str, Document] = {}
        self._meta = ModelMeta.create_empty({"name": name, "revision": revision, "is_cross_encoder": True})

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The metadata under which results are stored."""
        return self._meta

    def index(self, corpus: Any, **_: Any) -> None:
        """Keep the corpus for the candidates' texts."""
        self._corpus = {str(row["id"]): Document(str(row["id"]), row["text"], row.get("title") or "") for row in corpus}

    def search(self, queries: Any, *, top_k: int, top_ranked: Any = None, **_: Any) -> dict[str, dict[str, float]]:
        """Each query's candidates with scores that fall with the rank.

        Raises:
            InputError: The task has no candidates.
        """
        if not top_ranked:
            raise InputError(
                "this task has no candidates, and a reranker does not search a corpus; make some with a first stage: "
                "task.convert_to_reranking(FOLDER, top_k=100)"
            )
        scores: dict[str, dict[str, float]] = {}
        for row in queries:
            name = str(row["id"])
            documents = [self._corpus[doc_id] for doc_id in top_ranked.get(name, ())]
            order = self.reranker.rank(Query(name, row["text"]), documents, top_k, explain=0) if documents else []
            # Positions, since listwise rankings have no scores, and tied scores could be reordered.
            scores[name] = {item.doc_id: float(len(order) - place) for place, item in enumerate(order)}
        return scores


def cross_encoder(folder: str | Path) -> Any:
    """Open an exported judge or head for `mteb.evaluate`.

    Raises:
        InputError: The installed sentence-transformers is too old.
    """
    require("sentence-transformers", "5.5", "mteb")
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder))


def with_candidates(task: Any, run: str | Path, top_k: int = 100) -> Any:
    """Give a task the top documents of a run as candidates, such as the first stage's run of `interank evaluate`.

    For BRIGHT's tasks, mteb's own candidates are the whole corpus except the documents that a query excludes.

    Args:
        task: A task of mteb, from `mteb.get_task`.
        run: A TREC run.
        top_k: The number of documents per query; a query that is not in the run has no candidates.

    Raises:
        InputError: The run has none of the task's queries, or documents that its corpus lacks.
    """
    candidates = read_run(Path(run))
    task.load_data()
    # BRIGHT's tasks are in mteb's older format until they are converted.
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    shared = 0
    for part in (part for parts in task.dataset.values() for part in parts.values()):
        chosen = {
            str(name): [*candidates.scores(str(name))][:top_k] if str(name) in candidates else []
            for name in part["queries"]["id"]
        }
        documents = {str(name) for name in part["corpus"]["id"]}
        missing = next((each for names in chosen.values() for each in names if each not in documents), None)
        if missing is not None:
            raise InputError(
                f"{run}: its document {missing!r} is not in the corpus of {task.metadata.name}; give that task's run"
            )
        part["top_ranked"] = chosen
        shared += sum(map(bool, chosen.values()))
    if not shared:
        raise InputError(f"{run} has no query of {task.metadata.name}; give that task's run")
    return task
