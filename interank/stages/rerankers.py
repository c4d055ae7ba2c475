"""The rerankers of evaluate: an adapter in the recipe's mode, or a chain; each returns a query's row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.evaluation.candidates import Task
from interank.recipe import EvaluateRecipe
from interank.settings import LinkRecipe
from interank.types import Query, RankedDocument

if TYPE_CHECKING:
    from interank.tasks.ranks import Cost, OneModel

log = logging.getLogger(__name__)

RankQuery = Callable[[Task, Query, int], dict[str, Any]]
"""Ranks a query's candidates, explains so many of them, and returns the row."""


def adapter_ranking(recipe: EvaluateRecipe, path: Path) -> RankQuery:
    """Open an adapter to rank with in the recipe's mode."""
    # Scoring stored runs takes seconds; importing torch would double them.
    from interank.engines.heads import find_head

    head = find_head(path, recipe.base)
    link = LinkRecipe(
        model=str(path),
        mode=recipe.mode,
        max_reasoning_tokens=recipe.max_reasoning_tokens,
        lists=recipe.lists,
        adaptive=recipe.adaptive,
        head=recipe.head if head else None,
        base=recipe.base,
        memory=None if head else recipe.memory,
    )
    reranker = _opened(link)
    can_explain = reranker.can_explain
    if recipe.explain and recipe.mode == "score" and not can_explain:
        log.info("%s was taught no explanations, so the report has none of it", path)

    def row(task: Task, query: Query, explain: int) -> dict[str, Any]:
        documents = task.documents(query.query_id)
        ranking, costs = reranker.ranked(query, documents)
        # The report's explanations are not part of what a ranking costs.
        ranking = reranker.explain(query, documents, ranking, explain if can_explain else 0)
        return {**_row(task, query, ranking, costs), **_engine(reranker)}

    return row


def notes_on_bases(recipe: EvaluateRecipe) -> list[str]:
    """Notes on adapters that the recipe puts on another base than they were trained on."""
    bases = [(path, recipe.base) for path in recipe.adapters] + [(link.model, link.base) for link in recipe.chain]
    if not any(base for _, base in bases):
        return []
    from interank.engines.bases import base_note

    return [note for path, base in bases if (note := base_note(path, base))]


def _opened(link: LinkRecipe) -> OneModel:
    from interank.reranking.opening import open_reranker
    from interank.tasks.ranker_settings import RankerSettings

    return open_reranker(RankerSettings.of_link(link))


def _engine(reranker: OneModel) -> dict[str, str]:
    """The engine's name, and the weights' type where the engine holds them in this process."""
    weights = getattr(getattr(reranker.engine, "model", None), "dtype", None)
    facts = {"engine": type(reranker.engine).__name__}
    return facts | ({"dtype": str(weights).removeprefix("torch.")} if weights is not None else {})


def chain_ranking(links: Sequence[LinkRecipe]) -> RankQuery:
    """Open a chain's rerankers; links that differ in their depth alone share one."""
    from interank.reranking.chaining import Chain, Link

    opened: dict[str, OneModel] = {}
    for link in links:
        if _key(link) not in opened:
            opened[_key(link)] = _opened(link)
    chain = Chain([Link(opened[_key(link)], link.depth, link.model) for link in links])

    def row(task: Task, query: Query, explain: int) -> dict[str, Any]:
        ranking, costs = chain.ranked(query, task.documents(query.query_id))
        named = [
            {"model": link.model, "mode": link.mode, "depth": link.depth, **cost.as_row()}
            for link, cost in zip(links, costs, strict=True)
        ]
        return {**_row(task, query, ranking, costs), "stages": named}

    return row


def _key(link: LinkRecipe) -> str:
    return link.model_copy(update={"depth": 1}).model_dump_json()


def _row(task: Task, query: Query, ranking: Sequence[RankedDocument], costs: Sequence[Cost]) -> dict[str, Any]:
    flops = [cost.flops for cost in costs]
    row = {
        "task": task.name,
        "query_id": query.query_id,
        "seconds": round(sum(cost.seconds for cost in costs), 4),
        "tokens_read": sum(cost.tokens_read for cost in costs),
        "tokens_written": sum(cost.tokens_written for cost in costs),
        "flops": None if None in flops else sum(found for found in flops if found is not None),
        "device": ", ".join(dict.fromkeys(cost.device for cost in costs)),
        "ranking": [item.as_row() for item in ranking],
    }
    lists = [cost.as_row()["listwise"] for cost in costs if cost.lists.answers]
    return {**row, "listwise": lists} if lists else row
