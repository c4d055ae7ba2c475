"""generate: StackExchange dumps to judgments, by mining pairs and letting a teacher judge them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Artifact, Existing, Kind, Workplace, create, open_artifact
from interank.judgments import JudgedList, by_question, write_judgments
from interank.ledger import write_rows
from interank.recipe import GenerateRecipe
from interank.shards import Shard
from interank.stages import explanations
from interank.stages.annotation import Annotations, annotate
from interank.stages.generating import check as check
from interank.stages.generating import refuse_mining
from interank.stages.inputs import described, leaving_nothing_begun, require_inputs
from interank.stages.join import joined
from interank.stages.mining import MinedPairs, mine_only, pairs_of
from interank.stages.orderings import lists_counts, lists_notes, write_lists
from interank.stages.parts import in_parts, parts_of
from interank.stages.refusals import require_judgments
from interank.stages.replies import keep_replies, reopen_stopped, take_over_replies
from interank.stages.shards import FREE, describe, its_share, refuse_unshardable
from interank.tasks.judged_lists import judged_lists
from interank.teacher.annotate import Outcome
from interank.teacher.outcomes import SortedOut, query_rows, rejected_queries, sorted_out, tally_of
from interank.types import Pair

log = logging.getLogger(__name__)


@leaving_nothing_begun
def run(
    recipe: GenerateRecipe,
    out: Path,
    *,
    existing: Existing = "refuse",
    only_mine: bool = False,
    shard: Shard | None = None,
    concurrent_shards: int = 1,
) -> Artifact:
    """Mine the dumps, judge the pairs, write judgments and rejections.

    Replies are stored as they arrive: with `existing="resume"` a run that was killed, or stopped at its budget, asks
    for the missing ones alone. A shard judges its share of the questions, to be joined later;
    `concurrent_shards` share the limit on requests in flight.
    """
    require_inputs(recipe)
    if shard:
        refuse_unshardable(recipe)
    if only_mine:
        refuse_mining(recipe)
    inputs = described(check(recipe), out)
    if only_mine:
        return mine_only(recipe, out, inputs=inputs, existing=existing)
    content = recipe.model_dump(mode="json") | ({"shard": str(shard)} if shard else {})
    kind: Kind = "shard" if shard else "judgments"
    begin = partial(create, out, kind, recipe=content, inputs=inputs, existing=existing, free=FREE)
    place = begin()
    if isinstance(place, Artifact) and reopen_stopped(place):
        place = begin()
    if isinstance(place, Artifact):
        return place
    take_over_replies(place)
    pairs = open_artifact(recipe.pairs, "pairs") if recipe.pairs else None
    recipe = its_share(recipe, shard, concurrent_shards) if shard else recipe
    if pairs and (parts := parts_of(recipe, pairs, place.work, shard)) > 1:
        judged = in_parts(place, parts, shard, lambda part, own: _judged(recipe, own, pairs, part))
        return joined(recipe, place, judged, shard)
    return _judged(recipe, place, pairs, shard)


def _judged(recipe: GenerateRecipe, place: Workplace, pairs: Artifact | None, shard: Shard | None = None) -> Artifact:
    """Judge the pairs, or a shard of them, and finish the output."""
    mined = pairs_of(recipe, place, pairs, shard)
    make_lists, explain = partial(_lists, recipe), partial(explanations.explain, recipe, place)
    answers = annotate(recipe, mined.pairs, place, make_lists, explain)
    results = sorted_out(answers.pairs, answers.outcomes, None if shard else recipe.max_grade_share, recipe.seed)
    results = results._replace(rejected=[*rejected_queries(answers.queries), *results.rejected])
    if not answers.stopped and not shard:
        # Shards are checked together when they are joined.
        require_judgments(recipe, len(answers.pairs), results)
    return _written(recipe, place, mined, answers, results, shard)


def _lists(recipe: GenerateRecipe, pairs: Sequence[Pair], outcomes: Sequence[Outcome]) -> list[JudgedList]:
    """The lists for the teacher to order, made of the kept judgments."""
    if recipe.teacher.orderings is None:
        return []
    examples = sorted_out(pairs, outcomes, recipe.max_grade_share, recipe.seed).examples
    return [*judged_lists(by_question(examples), documents=recipe.teacher.orderings.window, seed=recipe.seed)]


def _labelled(mined: MinedPairs, results: SortedOut) -> dict[str, Any]:
    """The facts about imported labels, with the number of those that now have an explanation."""
    if "labels" not in mined.labelled:
        return dict(mined.labelled)
    explained = sum(bool(example.judgment.reasoning) for example in results.examples)
    return {**mined.labelled, "labels": {**mined.labelled["labels"], "explained": explained}}


def _written(
    recipe: GenerateRecipe,
    place: Workplace,
    mined: MinedPairs,
    answers: Annotations,
    results: SortedOut,
    shard: Shard | None,
) -> Artifact:
    write_judgments(results.examples, place.folder, results.marks)
    write_rows(place.folder / "rejected.jsonl", results.rejected)
    if recipe.teacher.queries:
        write_rows(place.folder / "queries.jsonl", query_rows(answers.pairs, answers.queries))
    if recipe.teacher.orderings:
        write_lists(place.folder, answers.lists)
    if results.unexplained:
        write_rows(place.folder / "unexplained.jsonl", results.unexplained)
        missing = len(results.unexplained)
        log.warning("%d of %d grades have no explanation; see unexplained.jsonl", missing, len(results.examples))
    place.write_json("cost.json", answers.cost)
    notes = {
        **answers.teacher,
        "grades": recipe.teacher.grades,
        **_labelled(mined, results),
        "samples": recipe.teacher.samples,
        "prompt_hash": recipe.prompt.learned_from(pair.query for pair in answers.pairs).wording,
        **({"queries_hash": judging.queries_hash()} if recipe.teacher.queries else {}),
        **explanations.written(answers.explanations, recipe, place.folder),
        **({"orderings": lists_notes(recipe.teacher.orderings, answers.lists)} if recipe.teacher.orderings else {}),
        "sites": mined.sites,
        "decontamination": mined.decontamination,
    }
    tally = tally_of(results)
    counts = tally.counts(rejected=len(results.rejected), unanswered=answers.outcomes.count(None))
    if answers.stopped:
        notes |= {"stopped": f"budget: {answers.stopped}", "unanswered": counts["unanswered"]}
        keep_replies(place)
    if recipe.teacher.orderings:
        counts |= lists_counts(answers.lists)
    counts |= explanations.counts(notes)
    if shard:
        notes |= {"shard": str(shard)}
    else:
        describe(place.folder, tally, notes)
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)
