"""The golden set: pairs on which variants of a model have to give the same scores, and what one of them gives."""

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
# What may stand behind a prompt: the label's line.
ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model said of one pair."""

    query_id: str
    ids: tuple[int, ...]
    """The prompt as it was given to the engine."""
    logits: tuple[float, ...]
    """The grades'; empty of a form of the model that tells its score alone."""
    told: float | None = None
    """The score of such a form."""

    @property
    def score(self) -> float:
        """What documents are ranked by."""
        return judging.score(self.logits) if self.told is None else self.told

    @property
    def relevance(self) -> Relevance | None:
        """The grade; None where the model computed no numbers, which is a finding here, and no error."""
        known = self.logits and all(map(math.isfinite, self.logits))
        return judging.most_probable(self.logits) if known else None


def golden_set(path: Path | None = None) -> list[GoldenQuery]:
    """The queries with their documents in `path`, or those that come with interank.

    Raises:
        InputError: The file is of another form, or no query has two documents, which makes no ranking.
    """
    if path is None:
        folder = resource_dir("data")
        return [*_sampled(load_benchmark(folder / "benchmark")), *_requested(folder / "golden" / "odd.jsonl")]
    found = [(query, documents) for query, documents in _requested(path) if documents]
    if not any(len(documents) > 1 for _, documents in found):
        raise InputError(f"{path} has no query with two documents, so nothing would be ranked; add some")
    return found


def golden_prompts(encoder: PromptEncoder, asked: Sequence[GoldenQuery]) -> list[tuple[str, Prompt]]:
    """The prompt of each pair, and its query's id."""
    return [
        (query.query_id, encoder.prompt(query, document, answer_tokens=ANSWER_TOKENS, order="grade_first"))
        for query, documents in asked
        for document in documents
    ]


def read_golden(
    engine: Labelling,
    encoder: PromptEncoder,
    asked: Sequence[GoldenQuery],
    *,
    batch: int | None = None,
    changed: Callable[[Prompt], Prompt] | None = None,
) -> list[Reading]:
    """What an engine says of each pair, given so many at a time; `changed` alters prompts behind the encoder's back."""
    named = golden_prompts(encoder, asked)
    given = [changed(prompt) if changed else prompt for _, prompt in named]
    size = batch or len(given)
    labels = [
        found for start in range(0, len(given), size) for found in grade(engine, encoder, given[start : start + size])
    ]
    return [
        Reading(query_id, prompt.ids, found.logits) for (query_id, prompt), found in zip(named, labels, strict=True)
    ]


def _requested(path: Path) -> Iterator[GoldenQuery]:
    for request in read_requests(path):
        yield request.query, request.documents


def _sampled(benchmark: Benchmark) -> Iterator[GoldenQuery]:
    """The first queries of each topic, each with its gold documents and the first of the others."""
    corpus = benchmark.documents()
    gold = judged_by_query(benchmark.qrels)
    queries = list(benchmark.queries.values())
    step = len(queries) // _QUERIES
    for place, query in enumerate(queries[::step][:_QUERIES]):
        others = [doc_id for doc_id in list(corpus)[place * _DOCUMENTS :] if doc_id not in gold[query.query_id]]
        chosen = [*gold[query.query_id], *others][:_DOCUMENTS]
        yield query, [corpus[doc_id] for doc_id in chosen]
