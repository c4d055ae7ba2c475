"""The rankings of an evaluation: made and stored query by query, or taken over from shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from interank.artifact import Artifact, Workplace
from interank.errors import ArtifactError
from interank.evaluation.candidates import Task
from interank.evaluation.rankings import Rankings
from interank.evaluation.systems import CHAIN
from interank.ledger import Ledger, write_rows
from interank.progress import track
from interank.recipe import EvaluateRecipe
from interank.shards import Shard
from interank.stages.rerankers import RankQuery, adapter_ranking, chain_ranking
from interank.types import Query
from interank.wording import listed

Openers = Mapping[str, Callable[[], RankQuery]]
"""By reranker a function that opens it, called when it is first needed."""

# Keys on which rankings do not depend.
FREE = ("memory",)


def openers(recipe: EvaluateRecipe, adapters: Sequence[tuple[str, Path]]) -> Openers:
    """The adapters, and the chain after them if there is one."""
    adapter_openers = {name: partial(adapter_ranking, recipe, path) for name, path in adapters}
    return {**adapter_openers, **({CHAIN: partial(chain_ranking, recipe.chain)} if recipe.chain else {})}


def reranked(
    recipe: EvaluateRecipe, tasks: Sequence[Task], name: str, open_it: Callable[[], RankQuery], place: Workplace
) -> Rankings:
    """Rank every query that is not ranked yet; the reranker is opened only if there is such a query."""
    ledger = _ledger(place, name)
    _Ranking(recipe, tasks, waiting_for(tasks)).run(name, open_it, ledger)
    return {(row["task"], row["query_id"]): row for row in ledger.rows()}


def rank_shard(
    recipe: EvaluateRecipe, tasks: Sequence[Task], rerankers: Openers, place: Workplace, shard: Shard
) -> Artifact:
    """Rank a shard's queries with all rerankers, and finish the shard's output with their rows.

    Raises:
        InputError: There are fewer queries than shards.
    """
    queries = waiting_for(tasks)
    share = shard.share(len(queries), "queries")
    for name, open_it in rerankers.items():
        ledger = _ledger(place, name)
        _Ranking(recipe, tasks, queries[share.start : share.stop]).run(name, open_it, ledger)
        write_rows(_rows(place.folder, name), ledger.each())
    return place.finish(seed=recipe.seed, counts={"queries": len(share)}, notes={"shard": str(shard)})


def take_over(shards: Sequence[Artifact], names: Iterable[str], place: Workplace) -> None:
    """Store the shards' rankings, if there are shards, where this run would store its own.

    Raises:
        ArtifactError: An input has changed since the shards were made.
    """
    if not shards:
        return
    here = {name: given["digest"] for name, given in place.inputs.items()}
    there = {name: given["digest"] for name, given in shards[0].manifest["inputs"].items()}
    if changed := sorted(name for name in {*here, *there} if here.get(name) != there.get(name)):
        raise ArtifactError(f"{listed(changed)} changed after the shards were ranked; make the shards anew")
    for name in names:
        _ledger(place, name).replace(row for shard in shards for row in Ledger(_rows(shard.path, name)).each())


def _ledger(place: Workplace, name: str) -> Ledger:
    return Ledger(place.work / f"{name}.jsonl")


def _rows(folder: Path, name: str) -> Path:
    return folder / "rankings" / f"{name}.jsonl"


def waiting_for(tasks: Sequence[Task]) -> list[tuple[Task, Query]]:
    """The queries that have candidates."""
    return [(task, query) for task in tasks for query in task.queries if task.documents(query.query_id)]


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Ranks queries into a ledger."""

    recipe: EvaluateRecipe
    tasks: Sequence[Task]
    queries: Sequence[tuple[Task, Query]]

    def run(self, name: str, open_it: Callable[[], RankQuery], ledger: Ledger) -> None:
        """Rank the queries that the ledger lacks."""
        done = {(row["task"], row["query_id"]) for row in ledger.each()}
        waiting = [(task, query) for task, query in self.queries if (task.name, query.query_id) not in done]
        if not waiting:
            return
        rank = open_it()
        explained = self._explained()
        total = len(self.queries)
        for task, query in track(waiting, what=f"evaluate {name}", unit="queries", total=total, done=len(done)):
            count = self.recipe.explain if (task.name, query.query_id) in explained else 0
            ledger.append([rank(task, query, count)])

    def _explained(self) -> set[tuple[str, str]]:
        """The queries whose first documents are explained in mode score; empty in modes that always explain."""
        if self.recipe.mode != "score":
            return set()
        ranked: dict[str, list[str]] = {}
        for task, query in waiting_for(self.tasks):
            ranked.setdefault(task.name, []).append(query.query_id)
        return {(task, name) for task, ids in ranked.items() for name in ids[: self.recipe.explained_queries]}
