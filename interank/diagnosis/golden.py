"""The golden set: pairs on which all variants of a model have to give the same scores, and a variant's readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interank import judging
from interank.engines.judge import grade
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Labelling
from interank.errors import InputError
from interank.ir.benchmarks import Benchmark, load_benchmark
from interank.ir.measures import judged_by_query
from interank.reranking.requests import read_requests
from interank.resources import resource_dir
from interank.types import Document, Query, Relevance

GoldenQuery = tuple[Query, Sequence[Document]]
_QUERIES, _DOCUMENTS = 6, 8
# Room for the label's line after a prompt.
ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """A model's output for one pair."""

    query_id: str
    ids: tuple[int, ...]
    """The prompt's token ids."""
    logits: tuple[float, ...]
    """The grades' logits; empty for a form of the model that returns its score alone."""
    own_score: float | None = None
    """The score that such a form returns."""

    @property
    def score(self) -> float:
        """The score by which documents are ranked."""
        return judging.score(self.logits) if self.own_score is None else self.own_score

    @property
    def relevance(self) -> Relevance | None:
        """The grade; None without logits, and where one is no finite number, which the comparison reports."""
        known = self.logits and all(map(math.isfinite, self.logits))
        return judging.most_probable(self.logits) if known else None


def golden_set(path: Path | None = None) -> list[GoldenQuery]:
    """The queries with their documents in `path`, or in the golden set of the package.

    Raises:
        InputError: The file has another format, or no query has two documents to rank.
    """
    if path is None:
        folder = resource_dir("data")
        return [*_sampled(load_benchmark(folder / "benchmark")), *_requested(folder / "golden" / "odd.jsonl")]
    queries = [(query, documents) for query, documents in _requested(path) if documents]
    if not any(len(documents) > 1 for _, documents in queries):
        raise InputError(f"{path} has no query with two documents, so nothing would be ranked; add some")
    return queries


def golden_prompts(encoder: PromptEncoder, golden: Sequence[GoldenQuery]) -> list[tuple[str, Prompt]]:
    """The query id and the prompt of each pair."""
    return [
        (query.query_id, encoder.prompt(query, document, answer_tokens=ANSWER_TOKENS, order="grade_first"))
        for query, documents in golden
        for document in documents
    ]


def read_golden(
    engine: Labelling,
    encoder: PromptEncoder,
    golden: Sequence[GoldenQuery],
    *,
    batch: int | None = None,
    changed: Callable[[Prompt], Prompt] | None = None,
) -> list[Reading]:
    """An engine's reading of each pair, `batch` prompts a call (all by default); `changed` alters the prompts it gets.

    The readings have the ids of the unaltered prompts.
    """
    named = golden_prompts(encoder, golden)
    prompts = [changed(prompt) if changed else prompt for _, prompt in named]
    size = batch or len(prompts)
    labels = [
        each for start in range(0, len(prompts), size) for each in grade(engine, encoder, prompts[start : start + size])
    ]
    return [Reading(query_id, prompt.ids, each.logits) for (query_id, prompt), each in zip(named, labels, strict=True)]


def _requested(path: Path) -> Iterator[GoldenQuery]:
    for request in read_requests(path):
        yield request.query, request.documents


def _sampled(benchmark: Benchmark) -> Iterator[GoldenQuery]:
    """Queries at equal distances in the benchmark, each with its gold documents and some of the others."""
    corpus = benchmark.documents()
    gold = judged_by_query(benchmark.qrels)
    queries = list(benchmark.queries.values())
    step = len(queries) // _QUERIES
    for place, query in enumerate(queries[::step][:_QUERIES]):
        others = [doc_id for doc_id in list(corpus)[place * _DOCUMENTS :] if doc_id not in gold[query.query_id]]
        chosen = [*gold[query.query_id], *others][:_DOCUMENTS]
        yield query, [corpus[doc_id] for doc_id in chosen]
