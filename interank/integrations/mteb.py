"""A model for mteb: a reranker in any mode as what reranks a task's candidates."""

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
    """mteb's SearchProtocol: ranks each query's candidates, so that listwise and reasoning rerankers run there too."""

    def __init__(self, reranker: Any, *, name: str = "interank/reranker", revision: str = "local") -> None:
        """Take a `Reranker`, or what it is opened from, and how results name it, as `owner/model`."""
        self.reranker = opened(reranker)
        self._corpus: dict[str, Document] = {}
        self._meta = ModelMeta.create_empty({"name": name, "revision": revision, "is_cross_encoder": True})

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """How results name it."""
        return self._meta

    def index(self, corpus: Any, **_: Any) -> None:
        """Keep the corpus, from which the candidates are taken."""
        self._corpus = {str(row["id"]): Document(str(row["id"]), row["text"], row.get("title") or "") for row in corpus}

    def search(self, queries: Any, *, top_k: int, top_ranked: Any = None, **_: Any) -> dict[str, dict[str, float]]:
        """Each query's candidates with scores that fall as they are ranked.

        Raises:
            InputError: The task has no candidates.
        """
        if not top_ranked:
            raise InputError(
                "this task has no candidates, and a reranker searches no corpus; make them by a first stage: "
                "task.convert_to_reranking(FOLDER, top_k=100)"
            )
        found: dict[str, dict[str, float]] = {}
        for row in queries:
            name = str(row["id"])
            documents = [self._corpus[doc_id] for doc_id in top_ranked.get(name, ())]
            order = self.reranker.rank(Query(name, row["text"]), documents, top_k, explain=0) if documents else []
            # Lists have no scores, and what has some ties where another order was meant.
            found[name] = {item.doc_id: float(len(order) - place) for place, item in enumerate(order)}
        return found


def cross_encoder(folder: str | Path) -> Any:
    """An exported judge or head as `mteb.evaluate` takes it.

    Raises:
        InputError: sentence-transformers is older than what opens it.
    """
    require("sentence-transformers", "5.5", "mteb")
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder))


def with_candidates(task: Any, run: str | Path, top_k: int = 100) -> Any:
    """A task whose candidates are the first documents of a run, as the first stage of `interank evaluate` is kept.

    mteb's own candidates of BRIGHT's tasks are the whole corpus less what a query excludes.

    Args:
        task: Of mteb, as `mteb.get_task` gives it.
        run: A TREC run.
        top_k: How many documents of each query; one of which the run has none has no candidates.

    Raises:
        InputError: The run is of other queries or documents.
    """
    found = read_run(Path(run))
    task.load_data()
    # BRIGHT's tasks hold their parts in mteb's older form until they are converted.
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    shared = 0
    for part in (part for parts in task.dataset.values() for part in parts.values()):
        chosen = {
            str(name): [*found.scores(str(name))][:top_k] if str(name) in found else []
            for name in part["queries"]["id"]
        }
        documents = {str(name) for name in part["corpus"]["id"]}
        missing = next((each for names in chosen.values() for each in names if each not in documents), None)
        if missing is not None:
            raise InputError(
                f"{run}: its document {missing!r} is not in the corpus of {task.metadata.name}; take that task's run"
            )
        part["top_ranked"] = chosen
        shared += sum(map(bool, chosen.values()))
    if not shared:
        raise InputError(f"{run}: found no query of {task.metadata.name}; take that task's run")
    return task
