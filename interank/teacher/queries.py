"""Search queries that a teacher writes for a question, and their pairs with the question's documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from interank import judging
from interank.engines.protocol import Reply, Request, Sampling
from interank.teacher.annotate import Annotator, Rejection, cut
from interank.types import Pair, Query

QueryRewrite = tuple[str, ...] | Rejection | None
"""The queries of a question; None where the budget ended before there were any."""


def write_queries(annotator: Annotator, questions: Sequence[Query]) -> list[QueryRewrite]:
    """Ask for search queries; the results in the order of the questions."""
    settings = annotator.settings
    sampling = Sampling(settings.max_query_tokens, settings.temperature, annotator.seed)
    replies = annotator.asker.replies([_request(annotator, question, sampling) for question in questions])
    results: list[QueryRewrite] = []
    for reply in replies:
        if not isinstance(reply, Reply):
            results.append(Rejection(reply.reason, "") if reply else None)
            continue
        text = reply.text if annotator.encoder is None else annotator.encoder.text(reply.ids)
        # Where the token limit cut the answer, its last query may be incomplete.
        whole = text if reply.finished else text.rpartition("\n")[0]
        queries = judging.parse_queries(whole, settings.queries)
        results.append(queries or Rejection("the reply is no plain list of numbered search queries", text))
    return results


def query_pairs(pairs: Sequence[Pair], queries: Mapping[str, Sequence[str]], limit: int) -> list[Pair]:
    """The first `limit` search queries of each question with the question's documents, after the question's own pairs.

    They stay in the question's split, since a query shares much of its question's content.
    """
    return [
        replace(pair, query=Query(f"{pair.query.query_id}#{number}", text))
        for pair in pairs
        for number, text in enumerate(queries.get(pair.query.query_id, ())[:limit], start=1)
    ]


def _request(annotator: Annotator, question: Query, sampling: Sampling) -> Request:
    limit = annotator.settings.queries
    if annotator.encoder is not None:
        return Request(annotator.encoder.queries_prompt(question, limit), sampling, annotator.encoder.end)
    messages = judging.render_queries(cut(question.text, annotator.prompt.max_query_tokens), limit)
    return Request(tuple((message["role"], message["content"]) for message in messages), sampling)
