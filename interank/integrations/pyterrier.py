"""A reranking transformer for PyTerrier, for results with texts."""

from __future__ import annotations

from typing import Any

from interank.integrations.reranking import facts, opened, ranked
from interank.versions import require

try:
    import pandas as pd
    import pyterrier as pt
finally:
    require("pyterrier", "1.1", "pyterrier")


_OWN = ("relevance_grade", "grade_probabilities", "label_mass", "probability", "explanation", "truncated_tokens")


class InterankReranker(pt.Transformer):  # type: ignore[misc]
    """Gives rows of `qid, query, docno, text` new scores and ranks; grades and explanations are columns."""

    def __init__(self, reranker: Any, *, explain: int | None = None) -> None:
        """Wrap a `Reranker`, or open one; `explain` is the number of top documents to explain for each query."""
        super().__init__()
        self.reranker = opened(reranker)
        self.explain = explain

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The same rows, reranked."""
        pt.validate.result_frame(inp, extra_columns=["query", "text"])
        if inp.empty:
            return inp.assign(score=pd.Series(dtype=float), rank=pd.Series(dtype=int))
        parts = []
        for _, rows in inp.groupby("qid", sort=False):
            query, texts = str(rows["query"].iloc[0]), [str(text) for text in rows["text"]]
            order = ranked(self.reranker, query, texts, explain=self.explain)
            part = rows.iloc[[place for place, _ in order]].drop(columns=["score", "rank", *_OWN], errors="ignore")
            known = pd.DataFrame([facts(item) for _, item in order], index=part.index)
            parts.append(
                part.assign(score=[item.score for _, item in order]).join(known.drop(columns="relevance_score"))
            )
        # Not add_ranks, which breaks ties arbitrarily; the rows are already best first.
        whole = pd.concat(parts, ignore_index=True)
        whole["rank"] = whole.groupby("qid", sort=False).cumcount()
        return whole
