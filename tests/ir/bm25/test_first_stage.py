"""BM25 equals the formula written out by hand and the recorded baselines."""

import json
import logging
import math
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from interank.errors import InputError
from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import Bm25, tokenize
from interank.ir.bm25.postings import without_ties
from interank.ir.measures import score_run
from interank.types import Document, Query, Run, ScoredDoc


def slow_bm25(documents: list[Document], query: str) -> dict[str, float]:
    bags = {document.doc_id: Counter(tokenize(document.full_text)) for document in documents}
    mean = sum(bag.total() for bag in bags.values()) / len(bags)
    scores = {}
    for doc_id, bag in bags.items():
        score = 0.0
        for token in tokenize(query):
            df = sum(token in other for other in bags.values())
            idf = math.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
            score += idf * bag[token] * 1.9 / (bag[token] + 0.9 * (0.6 + 0.4 * bag.total() / mean))
        if score > 0:
            scores[doc_id] = score
    return scores


def made_corpus(seed: int) -> list[Document]:
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(25)]
    return [
        Document(f"d{n}", " ".join(rng.choices(words, k=rng.randint(0, 30))), title=rng.choice(["", "w1 w99"]))
        for n in range(60)
    ]


def test_tokens_are_words_in_lower_case() -> None:
    assert tokenize("Don't PANIC: 42-fold, caf\u00e9_bar!") == [
        "don",
        "t",
        "panic",
        "42",
        "fold",
        "caf\u00e9",
        "bar",
    ]
    assert tokenize(" \n") == []


@pytest.mark.parametrize("seed", range(8))
def test_scores_equal_the_formula_written_out_by_hand(seed: int) -> None:
    documents = made_corpus(seed)
    query = Query("q", "W3 w7, w7 w7 and w24 w1 unknown")
    expected = slow_bm25(documents, query.text)
    run = Bm25(documents).rank([query], top_k=len(documents))
    assert {item.doc_id: item.score for item in run["q"]} == pytest.approx(expected, rel=1e-4)
    assert run.tag == "bm25"


def test_ties_keep_corpus_order_also_at_the_cut() -> None:
    documents = [Document(f"d{n}", "same words here") for n in range(50)]
    documents[30] = Document("best", "same same")
    index = Bm25(documents)
    expected = ["best", *(document.doc_id for document in documents if document.doc_id != "best")]
    for top_k in (1, 7, 50, 80):
        assert index.rank([Query("q", "same")], top_k=top_k).doc_ids("q") == expected[:top_k]


def test_excluded_documents_take_no_place() -> None:
    index = Bm25([Document(f"d{n}", "word " * (9 - n) + "other " * n) for n in range(5)])
    queries = [Query("q1", "word"), Query("q2", "word")]
    everything = index.rank(queries, top_k=5)
    barred = frozenset({everything.doc_ids("q1")[0], "not in the corpus"})
    run = index.rank(queries, top_k=3, excluded={"q1": barred})
    assert run.doc_ids("q1") == everything.doc_ids("q1")[1:4]
    assert run.doc_ids("q2") == everything.doc_ids("q2")[:3]


def test_what_shares_no_word_is_not_ranked() -> None:
    index = Bm25([Document("a", "red fox"), Document("b", ""), Document("c", "red", title="Hat")])
    run = index.rank([Query("q1", "fox hat"), Query("q2", "nothing shared"), Query("q3", "?!")], top_k=10)
    assert sorted(run.doc_ids("q1")) == ["a", "c"]
    assert run.doc_ids("q2") == run.doc_ids("q3") == []


def test_repeated_query_words_count() -> None:
    index = Bm25([Document("a", "cat x"), Document("b", "dog x")])
    assert index.rank([Query("q", "cat dog dog")], top_k=2).doc_ids("q") == ["b", "a"]
    assert index.rank([Query("q", "cat cat dog")], top_k=2).doc_ids("q") == ["a", "b"]


def test_nothing_to_index_or_to_keep_is_an_error() -> None:
    with pytest.raises(InputError, match="BM25"):
        Bm25([])
    with pytest.raises(InputError, match=r"\(2\) hold no letter or digit"):
        Bm25([Document("a", ""), Document("b", " \u2026 ")])
    with pytest.raises(InputError, match="top_k is 0"):
        Bm25([Document("a", "x")]).rank([], top_k=0)


def test_an_id_for_two_documents_is_an_error() -> None:
    with pytest.raises(InputError, match=r"'b'.*twice"):
        Bm25([Document("a", "x"), Document("b", "x"), Document("b", "y")])


def test_ranking_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.NOTSET):
        Bm25(made_corpus(0)).rank([Query("q", "w1")], top_k=3)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_ranking_does_not_depend_on_hash_seeds() -> None:
    code = (
        "from interank.ir.bm25 import Bm25; from interank.types import Document, Query\n"
        "texts = [' '.join(f'w{(n * k) % 13}' for k in range(n % 9)) for n in range(200)]\n"
        "corpus = [Document(str(n), text) for n, text in enumerate(texts)]\n"
        "print(Bm25(corpus).rank([Query('q', 'w1 w2 w3 w5 w1')], top_k=90)['q'])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "ScoredDoc" in outputs.pop()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "key", "split"),
    [
        ("beir/scifact", "scifact", "test"),
        ("classic/cranfield", "cranfield", None),
        ("classic/cacm", "cacm", None),
        ("bright/aops_text", "bright_aops_text", None),
    ],
)
def test_recorded_baselines(real_data: Path, folder: str, key: str, split: str | None) -> None:
    expected = json.loads((real_data / "bm25_baselines.json").read_text())[key]
    benchmark = load_benchmark(real_data / folder, split)
    assert (len(benchmark.queries), len(benchmark.corpus)) == (expected["n_queries"], expected["n_docs"])
    index = Bm25(list(benchmark.corpus.values()))
    run = index.rank(benchmark.queries.values(), top_k=100, excluded=benchmark.excluded)
    scores = score_run(benchmark.qrels, run, ("nDCG@10", "R@100", "AP", "RR"))
    for name, recorded in (
        ("nDCG@10", "ndcg_cut_10"),
        ("R@100", "recall_100"),
        ("AP", "map"),
        ("RR", "recip_rank"),
    ):
        assert scores.mean[name] == pytest.approx(expected[recorded], abs=5e-4), name


@pytest.mark.parametrize("scores", [[3.0, 2.0, 1.0], [1.0] * 5, [2.0, 2.0, 1.9999999, 1.9999998, 0.5, 0.5], [0.25], []])
def test_ties_are_lowered_as_a_run_lowers_them(scores: list[float]) -> None:
    single = np.array(scores, np.float32)
    run = Run({"q": [ScoredDoc("q", f"d{n}", float(score)) for n, score in enumerate(single)]}, tag="t")
    assert without_ties(single).tolist() == list(run.scores("q").values())
