"""BM25Q equals gensim's LuceneBM25Model, used as BRIGHT's script uses it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from gensim.corpora import Dictionary
from gensim.models import LuceneBM25Model
from gensim.similarities import SparseMatrixSimilarity

from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import Bm25, analyze_english
from interank.types import Document, Query, Run


def by_gensim(
    documents: list[Document], queries: list[Query], excluded: Mapping[str, frozenset[str]], top_k: int
) -> dict[str, list[tuple[str, float]]]:
    """Rankings by gensim: a score for each document, sorted with ties in corpus order, without those that score 0."""
    terms = [analyze_english(document.full_text) for document in documents]
    dictionary = Dictionary(terms)
    model = LuceneBM25Model(dictionary=dictionary, k1=0.9, b=0.4)
    index = SparseMatrixSimilarity(
        model[[dictionary.doc2bow(each) for each in terms]],
        num_docs=len(terms),
        num_terms=len(dictionary),
        normalize_queries=False,
        normalize_documents=False,
    )
    rankings = {}
    for query in queries:
        scores = index[model[dictionary.doc2bow(analyze_english(query.text))]].tolist()
        by_document = {document.doc_id: score for document, score in zip(documents, scores, strict=True) if score > 0}
        for doc_id in excluded.get(query.query_id, ()):
            by_document.pop(doc_id, None)
        rankings[query.query_id] = sorted(by_document.items(), key=lambda item: item[1], reverse=True)[:top_k]
    return rankings


def assert_equal(run: Run, expected: dict[str, list[tuple[str, float]]]) -> None:
    assert run.tag == "bm25q"
    for query_id, ranking in expected.items():
        assert run.doc_ids(query_id) == [doc_id for doc_id, _ in ranking]
        # A run lowers scores that tie by the least step that a float32 can take.
        assert [item.score for item in run[query_id]] == pytest.approx([score for _, score in ranking], rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_made_corpora_are_ranked_as_by_gensim(seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(40)] + ["the", "running", "runs", "caf\u00e9"]
    documents = [Document(f"d{n}", " ".join(rng.choices(words, k=rng.randint(0, 30)))) for n in range(150)]
    queries = [Query(f"q{n}", " ".join(rng.choices([*words, "unknown"], k=rng.randint(1, 60)))) for n in range(20)]
    excluded = {"q0": frozenset({"d1", "d2", "elsewhere"})}
    run = Bm25(documents, "bm25q").rank(queries, top_k=50, excluded=excluded)
    assert_equal(run, by_gensim(documents, queries, excluded, 50))


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "split"), [("beir/scifact", "test"), ("bright/aops_text", None)])
def test_real_corpora_are_ranked_as_by_gensim(real_data: Path, folder: str, split: str | None) -> None:
    benchmark = load_benchmark(real_data / folder, split)
    documents, queries = list(benchmark.corpus.values()), list(benchmark.queries.values())
    run = Bm25(documents, "bm25q").rank(queries, top_k=1000, excluded=benchmark.excluded)
    assert_equal(run, by_gensim(documents, queries, benchmark.excluded, 1000))


def test_the_query_is_weighted_by_the_formula() -> None:
    documents = [Document("a", "cat cat dog"), Document("b", "dog fish bird fish"), Document("c", "bird")]
    bags = {document.doc_id: Counter(document.text.split()) for document in documents}
    mean = 8 / 3

    def saturated(count: int, length: int) -> float:
        return count / (count + 0.9 * (1 - 0.4 + 0.4 * length / mean))

    query = {"dog": 2, "bird": 1}  # the fourth word is not in the corpus, and has no part in the length
    expected = {}
    for doc_id, bag in bags.items():
        expected[doc_id] = sum(
            math.log(1 + (3 - df + 0.5) / (df + 0.5)) ** 2 * saturated(count, 3) * saturated(bag[term], bag.total())
            for term, count in query.items()
            for df in [sum(term in other for other in bags.values())]
        )
    run = Bm25(documents, "bm25q").rank([Query("q", "dog dog bird whale")], top_k=3)
    assert {item.doc_id: item.score for item in run["q"]} == pytest.approx(expected, rel=1e-5)


def test_each_first_stage_has_its_name_and_its_scores() -> None:
    documents = [Document("a", "the ran run running"), Document("b", "run the the"), Document("c", "other")]
    query = Query("q", "the runs running")
    runs = {name: Bm25(documents, name).rank([query], top_k=3) for name in ("bm25", "bm25-english", "bm25q")}
    assert {name: run.tag for name, run in runs.items()} == {name: name for name in runs}
    assert len({tuple(item.score for item in run["q"]) for run in runs.values()}) == 3
    assert runs["bm25"].doc_ids("q") == ["a", "b"]
    scores = {item.doc_id: item.score for item in runs["bm25-english"]["q"]}
    # a: ran run run, b: run, c: other; the query: run run
    idf = math.log(1 + 1.5 / 2.5)
    expected = {
        doc_id: 2 * idf * count * 1.9 / (count + 0.9 * (0.6 + 0.4 * length / (5 / 3)))
        for doc_id, count, length in (("a", 2, 3), ("b", 1, 1))
    }
    assert scores == pytest.approx(expected, rel=1e-5)
