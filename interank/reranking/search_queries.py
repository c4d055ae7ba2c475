"""Has the reranker's model write search queries for the first stage."""

from __future__ import annotations

from collections.abc import Sequence

from interank import judging
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, Sampling
from interank.engines.soundness import require_completions
from interank.types import Query


def search_queries(
    engine: Engine, encoder: PromptEncoder, queries: Sequence[Query], *, limit: int, max_new_tokens: int
) -> list[tuple[str, ...] | None]:
    """Generate up to `limit` search queries for each query, greedily and in one call.

    An entry is None if the answer is no numbered list of queries. Of an answer cut at `max_new_tokens`, only complete
    lines count.
    """
    prompts = [encoder.queries_prompt(query, limit) for query in queries]
    completions = engine.generate(prompts, Sampling(max_new_tokens), end=encoder.end)
    require_completions(completions)
    answers = [(encoder.text(item.ids), item.finished) for item in completions]
    whole = [text if finished else text.rpartition("\n")[0] for text, finished in answers]
    return [judging.parse_queries(text, limit) for text in whole]
