"""The first stages: the text analysis and the weighting behind each name, and the index that ranks by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interank.errors import InputError
from interank.ir.bm25.languages import analyser
from interank.ir.bm25.lucene import analyze_english
from interank.ir.bm25.postings import Postings, Weighting, without_ties
from interank.ir.bm25.scripts import tokenize
from interank.types import Document, Language, Query, Run

FirstStage = Literal[
    "bm25",
    "bm25q",
    "bm25-arabic",
    "bm25-danish",
    "bm25-dutch",
    "bm25-english",
    "bm25-finnish",
    "bm25-french",
    "bm25-german",
    "bm25-hungarian",
    "bm25-italian",
    "bm25-norwegian",
    "bm25-portuguese",
    "bm25-romanian",
    "bm25-russian",
    "bm25-spanish",
    "bm25-swedish",
]
"""`bm25`: plain words of any script. `bm25-english`: Lucene's English terms. `bm25q`: the same terms, with the query
weighted like a document. `bm25-` and another language: words stemmed by Snowball's rules."""


def first_stage_of(language: Language | None) -> FirstStage:
    """The name of BM25 on a language's terms; on plain words for None."""
    names: dict[Language, FirstStage] = {own: name for name, own in _LANGUAGES.items()}
    return "bm25" if language is None else names[language]


@dataclass(frozen=True, slots=True)
class _Form:
    analyze: Callable[[str], list[str]]
    weighting: Weighting
    token_kind: str


_LANGUAGES: dict[FirstStage, Language] = {
    "bm25-arabic": "arabic",
    "bm25-danish": "danish",
    "bm25-dutch": "dutch",
    "bm25-english": "english",
    "bm25-finnish": "finnish",
    "bm25-french": "french",
    "bm25-german": "german",
    "bm25-hungarian": "hungarian",
    "bm25-italian": "italian",
    "bm25-norwegian": "norwegian",
    "bm25-portuguese": "portuguese",
    "bm25-romanian": "romanian",
    "bm25-russian": "russian",
    "bm25-spanish": "spanish",
    "bm25-swedish": "swedish",
}
_WORDS, _TERMS = "letter or digit", "word that is not a stop word"
_FORMS: dict[FirstStage, _Form] = {
    "bm25": _Form(tokenize, "counts", _WORDS),
    "bm25q": _Form(analyze_english, "saturated", _TERMS),
    **{
        name: _Form(analyser(language), "counts", _TERMS if language == "english" else _WORDS)
        for name, language in _LANGUAGES.items()
    },
}


class Bm25:
    """An index of documents that ranks them by BM25.

    A document's score is the sum over the query's tokens (a repeated token counts each time) of
    `idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length))` with
    `idf = ln(1 + (N - df + 0.5) / (df + 0.5))`: ATIRE's term frequency, Lucene's idf.

    BM25Q weights the query's terms as if the query were a document. It sums over the query's distinct terms
    `idf^2 * s(tf in query, length of query) * s(tf, length)`, where `s(tf, length)` is the term frequency part above
    without `k1 + 1`, and the query's length counts the tokens that occur in the corpus. BRIGHT's script computes this
    with gensim's LuceneBM25Model, and calls it BM25.
    """

    def __init__(self, documents: Sequence[Document], first_stage: FirstStage = "bm25") -> None:
        """Index the documents' full texts.

        Raises:
            InputError: There is no document, no document has a token, or two have the same id.
        """
        self.first_stage = first_stage
        self._form = _FORMS[first_stage]
        self._doc_ids = [document.doc_id for document in documents]
        self._positions = {doc_id: position for position, doc_id in enumerate(self._doc_ids)}
        if len(self._positions) < len(self._doc_ids):
            twice = next(doc_id for place, doc_id in enumerate(self._doc_ids) if self._positions[doc_id] != place)
            raise InputError(f"the document id {twice!r} occurs twice in the corpus; keep one of the two")
        self._postings = Postings(
            (self._form.analyze(document.full_text) for document in documents), self._form.weighting
        )
        if not self._postings.term_count:
            raise InputError(
                f"the documents ({len(self._doc_ids)}) hold no {self._form.token_kind} that BM25 could search; "
                "give another corpus, or candidates from elsewhere as a run"
            )

    def rank(self, queries: Iterable[Query], *, top_k: int, excluded: Mapping[str, frozenset[str]] = {}) -> Run:
        """Rank the documents for each query; a query that shares no word with any has an empty ranking.

        Args:
            queries: The queries.
            top_k: The most documents to keep for each query. Those that score 0 are left out; ties keep corpus order.
            excluded: By query id, documents that must not be ranked; they do not count towards `top_k`.

        Raises:
            InputError: `top_k` is under 1.
        """
        if top_k < 1:
            raise InputError(f"top_k is {top_k}, where 1 or more is needed; raise it")
        rankings = {
            query.query_id: self._ranking(query, top_k, excluded.get(query.query_id, frozenset())) for query in queries
        }
        return Run.from_rankings(rankings, tag=self.first_stage)

    def _ranking(self, query: Query, top_k: int, barred: frozenset[str]) -> dict[str, float]:
        positions = [self._positions[doc_id] for doc_id in barred if doc_id in self._positions]
        best, scores = self._postings.search(self._form.analyze(query.text), top_k, barred=positions)
        doc_ids = map(self._doc_ids.__getitem__, best.tolist())
        return dict(zip(doc_ids, without_ties(scores).tolist(), strict=True))
