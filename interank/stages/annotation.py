"""The second half of generate: the recipe's teacher annotates the pairs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from interank.artifact import Workplace
from interank.engines.models import device
from interank.judgments import JudgedList
from interank.progress import track
from interank.recipe import GenerateRecipe
from interank.stages.explanations import Explanations
from interank.stages.judging_progress import tell
from interank.teacher.annotate import Annotator, Outcome, TeacherJudgment, known_grades
from interank.teacher.budget import Meter, dollars
from interank.teacher.lists import ListOutcome, order_lists
from interank.teacher.opening import REPLIES, asked_together, default_cache, open_teacher
from interank.teacher.queries import QueryRewrite, query_pairs, write_queries
from interank.teacher.replies import Asker, ReplyStore
from interank.types import Pair, Query

log = logging.getLogger(__name__)

MakeLists = Callable[[Sequence[Pair], Sequence[Outcome]], list[JudgedList]]
Explain = Callable[[Annotator | None, Sequence[Pair], Sequence[Outcome]], Explanations | None]


@dataclass(frozen=True, slots=True)
class Annotations:
    """The teacher's outcomes by pair (pairs of search queries included), and its search queries by question."""

    pairs: list[Pair]
    outcomes: list[Outcome]
    queries: dict[str, QueryRewrite]
    lists: list[tuple[JudgedList, ListOutcome]]
    """The lists that the teacher was asked to order, with its answers."""
    explanations: Explanations | None
    """None where the recipe asks for none."""
    stopped: str
    """The limit of the budget that was reached; empty if none was."""
    teacher: dict[str, Any]
    cost: dict[str, Any]


def annotate(
    recipe: GenerateRecipe, pairs: Sequence[Pair], place: Workplace, make_lists: MakeLists, explain: Explain
) -> Annotations:
    """Ask the teacher for search queries, judgments, orders of lists and further explanations, one after the other.

    Replies in the work folder or the cache are used again; a recipe that needs no teacher opens no model. `make_lists`
    makes lists of the judged documents; `explain` collects and marks explanations, without a teacher only marks.
    """
    if not recipe.asks_teacher:
        return _without_teacher(pairs, explain)
    longest = recipe.explanations.max_length if recipe.explanations else 0
    teacher, encoder, notes = open_teacher(recipe.teacher, recipe.prompt, recipe.seed, longest=longest)
    shared_folder = recipe.cache or default_cache()
    with closing(ReplyStore(place.work / REPLIES)) as own:
        shared = ReplyStore(shared_folder / REPLIES) if shared_folder else None
        meter = Meter(recipe.budget, recipe.teacher.price, own.spent())
        asker = Asker(teacher, own, shared, meter)
        annotator = Annotator(asker, recipe.teacher, recipe.prompt, encoder, recipe.seed)
        try:
            size = asked_together(recipe.teacher)
            queries = _queries(annotator, pairs, size)
            texts = {name: written for name, written in queries.items() if isinstance(written, tuple)}
            all_pairs = [*pairs, *query_pairs(pairs, texts, recipe.teacher.query_pairs)]
            outcomes = _outcomes(annotator, all_pairs, size, place)
            lists = _lists(annotator, [] if meter.stopped else make_lists(all_pairs, outcomes), size)
            explanations = explain(annotator, all_pairs, outcomes)
        finally:
            if shared is not None:
                shared.close()
        spent, held = own.spent(), own.held()
    if meter.stopped:
        log.warning("stopped at the budget: %s; go on with a larger one and --resume", meter.stopped)
    requests = asker.asked
    cost = {
        "seconds": round(meter.spent.seconds, 3),
        "device": device() if recipe.teacher.engine != "openai" else "servers",
        "tokens_read": spent.read,
        "tokens_written": spent.written,
        "dollars": dollars(spent.read, spent.written, recipe.teacher.price),
        "last_run": {"sent": requests.sent, "replayed": requests.replayed, "failed": requests.failed},
    }
    price = dollars(held.read, held.written, recipe.teacher.price)
    notes |= {"tokens_read": held.read, "tokens_written": held.written, "dollars": price}
    return Annotations(all_pairs, outcomes, queries, lists, explanations, meter.stopped, notes, cost)


def _without_teacher(pairs: Sequence[Pair], explain: Explain) -> Annotations:
    """Annotations without a teacher: the grades from votes or labels."""
    outcomes = known_grades(pairs)
    explained = any(isinstance(each, TeacherJudgment) and each.judgment.reasoning for each in outcomes)
    which = "with the explanations that they have" if explained else "without explanations"
    log.info("no teacher is asked: grades come from votes or labels, %s", which)
    cost = {"seconds": 0.0, "device": "none", "tokens_read": 0, "tokens_written": 0, "dollars": None}
    return Annotations(list(pairs), outcomes, {}, [], explain(None, pairs, outcomes), "", {}, cost)


def _queries(annotator: Annotator, pairs: Sequence[Pair], size: int) -> dict[str, QueryRewrite]:
    if not annotator.settings.queries:
        return {}
    questions = list({pair.query.query_id: pair.query for pair in pairs}.values())
    results: dict[str, QueryRewrite] = {}
    starts = range(0, len(questions), size)
    for start in track(starts, what="search queries", unit="batches", total=len(starts)):
        chunk: list[Query] = questions[start : start + size]
        for question, written in zip(chunk, write_queries(annotator, chunk), strict=True):
            results[question.query_id] = written
    return results


def _outcomes(annotator: Annotator, pairs: Sequence[Pair], size: int, place: Workplace) -> list[Outcome]:
    outcomes: list[Outcome] = []
    starts = range(0, len(pairs), size)
    for start in track(starts, what="generate", unit="batches", total=len(starts)):
        outcomes += annotator.annotate(pairs[start : start + size])
        tell(place.work, len(outcomes), len(pairs), annotator.asker.meter.spent)
    return outcomes


def _lists(annotator: Annotator, lists: Sequence[JudgedList], size: int) -> list[tuple[JudgedList, ListOutcome]]:
    settings = annotator.settings.orderings
    if settings is None:
        return []
    results: list[tuple[JudgedList, ListOutcome]] = []
    starts = range(0, len(lists), size)
    for start in track(starts, what="orderings", unit="batches", total=len(starts)):
        chunk = lists[start : start + size]
        results += zip(chunk, order_lists(annotator, chunk, settings), strict=True)
    return results
