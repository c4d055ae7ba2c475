"""What a model was trained on of a benchmark is counted, named and said in a sentence."""

import json
import random

from interank.ir.overlap import (
    BenchmarkDocument,
    BenchmarkIndex,
    BenchmarkQuery,
    BenchmarkTexts,
    training_overlap,
)
from interank.types import Document, Example, Judgment, Query, Relevance, Source

RNG = random.Random(4)
WORDS = ["".join(RNG.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(3000)]


def text(length: int = 80) -> str:
    return " ".join(RNG.choices(WORDS, k=length))


QUERY, DOCUMENT, PIECE = text(), text(), text(30)


def example(query_id: str, query: str, doc_id: str, document: str) -> Example:
    source = Source("tea.stackexchange.com", doc_id, "", "somebody", "CC BY-SA 4.0")
    judgment = Judgment("because", Relevance.RELEVANT)
    return Example(Query(query_id, query), Document(doc_id, document), judgment, None, "train", source)


EXAMPLES = [
    example("tea.stackexchange.com/1", QUERY, "11", text()),
    example("tea.stackexchange.com/1", QUERY, "12", DOCUMENT),
    example("tea.stackexchange.com/2", text(), "12", DOCUMENT),
    example("tea.stackexchange.com/2", text(), "13", f"{PIECE} {text()}"),
]


def index(*, documents: bool) -> BenchmarkIndex:
    made = [BenchmarkDocument("d1", DOCUMENT), BenchmarkDocument("d2", text()), BenchmarkDocument("d3", text())]
    queries = (BenchmarkQuery("q1", QUERY), BenchmarkQuery("q2", f"{text(150)} {PIECE}"))
    return BenchmarkIndex([BenchmarkTexts("bench", "task", queries, (lambda: iter(made)) if documents else None)])


def test_queries_and_documents_are_counted_once() -> None:
    found = training_overlap(EXAMPLES, index(documents=True))
    assert not found.is_clean
    assert found.summary() == (
        "bench: 1 of 2 test queries and 1 of 3 test documents were seen in training; "
        "some words of 1 more query were, too"
    )
    report = json.loads(json.dumps(found.to_json()))
    assert report["benchmarks"][0] | {"tasks": []} == {
        "name": "bench",
        "tasks": [],
        "queries": 2,
        "documents": 3,
        "checked_on": "queries and documents",
        "queries_contained": 1,
        "documents_contained": 1,
        "queries_shared_less": 1,
        "documents_shared_less": 0,
    }
    assert [(entry["post_id"], entry["query_id"]) for entry in report["queries"]["removed"]] == [("1", "q1")]
    assert [(entry["post_id"], entry["doc_id"]) for entry in report["documents"]["removed"]] == [("12", "d1")]
    assert [(entry["post_id"], entry["query_id"]) for entry in report["documents"]["remaining"]] == [("13", "q2")]


def test_without_documents_the_sentence_says_so() -> None:
    clean = [example("tea.stackexchange.com/3", text(), "14", text())]
    found = training_overlap(clean, index(documents=False))
    assert found.is_clean
    assert found.summary() == ("bench: 0 of 2 test queries were seen in training; the test documents were not at hand")
