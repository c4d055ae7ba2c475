"""generate: StackExchange dumps to judgments, by mining pairs and letting a teacher judge them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Artifact, Existing, Workplace, create
from interank.cards import save_card
from interank.errors import InputError
from interank.judgments import JudgedList, Mark, write_judgments
from interank.launched import refuse_several_processes
from interank.ledger import write_rows
from interank.recipe import GenerateRecipe
from interank.settings import ServersRecipe
from interank.stages.asked import Answers, ask
from interank.stages.inputs import require_inputs
from interank.stages.listed import lists_counts, lists_notes, write_lists
from interank.stages.mined import MinedPairs, check_benchmarks, describe_inputs, mine_only, pairs_of
from interank.stages.stopped import keep_replies, reopen_stopped, take_over_replies
from interank.tasks.order.lists import judged_lists
from interank.teacher.annotate import Judged, Outcome, Rejected, conflicts
from interank.teacher.balance import surplus
from interank.teacher.card import PICTURE, card, picture
from interank.types import Example, Pair

log = logging.getLogger(__name__)

# The content does not depend on where the servers stand, how often they are asked, and what may be spent.
_SERVERS = tuple(f"teacher.server.{name}" for name in ServersRecipe.model_fields)
_FREE = ("budget", "cache", "teacher.price", "teacher.speed", *_SERVERS)


def run(recipe: GenerateRecipe, out: Path, *, existing: Existing = "refuse", only_mine: bool = False) -> Artifact:
    """Mine the dumps, judge the pairs, write judgments and rejections.

    Replies are kept as they come, so a killed run goes on with what has none yet with `existing="resume"`; so does
    one that stopped at its budget.
    """
    refuse_several_processes()
    require_inputs(recipe)
    check_benchmarks(recipe)
    if only_mine:
        return mine_only(recipe, out, existing=existing)
    inputs = describe_inputs(recipe, out)
    content = recipe.model_dump(mode="json")
    begin = partial(create, out, "judgments", recipe=content, inputs=inputs, existing=existing, free=_FREE)
    place = begin()
    if isinstance(place, Artifact) and reopen_stopped(place):
        place = begin()
    if isinstance(place, Artifact):
        return place
    take_over_replies(place)
    mined = pairs_of(recipe, place)
    answers = ask(recipe, mined.pairs, place, partial(_listed, recipe))
    examples, marks, rejected = _sorted_out(recipe, answers.pairs, answers.outcomes)
    rejected = [*_unwritten_queries(answers), *rejected]
    if not examples and not answers.stopped:
        raise InputError(
            f"the teacher {recipe.teacher.model} gave no usable judgment for {len(answers.pairs)} pairs; "
            f"the first was rejected because: {rejected[0]['reason']}"
        )
    return _written(recipe, place, mined, answers, (examples, marks, rejected))


def _listed(recipe: GenerateRecipe, pairs: Sequence[Pair], outcomes: Sequence[Outcome]) -> list[JudgedList]:
    """The lists that the teacher is to order, of the judgments that are kept."""
    if recipe.teacher.orderings is None:
        return []
    examples, _, _ = _sorted_out(recipe, pairs, outcomes)
    return judged_lists(examples, documents=recipe.teacher.orderings.window, seed=recipe.seed)


def _unwritten_queries(answers: Answers) -> list[dict[str, Any]]:
    return [
        {"query_id": name, "doc_id": None, "reason": written.reason, "reply": written.reply}
        for name, written in answers.queries.items()
        if isinstance(written, Rejected)
    ]


def _sorted_out(
    recipe: GenerateRecipe, pairs: Sequence[Pair], outcomes: Sequence[Outcome]
) -> tuple[list[Example], list[Mark], list[dict[str, Any]]]:
    """Judged pairs with their marks, and what was rejected with the reason; the unanswered are in neither."""
    examples: list[Example] = []
    marks: list[Mark] = []
    rejected: list[dict[str, Any]] = []
    for pair, outcome in zip(pairs, outcomes, strict=True):
        if isinstance(outcome, Rejected):
            rejected.append(_rejected(pair, outcome))
        elif isinstance(outcome, Judged):
            judgment = outcome.judgment
            examples.append(
                Example(pair.query, pair.document, judgment, outcome.probabilities, pair.split, pair.source)
            )
            marks.append(Mark(pair.origin, outcome.agreement, conflicts(pair, judgment)))
    if recipe.max_grade_share is not None:
        left_out = surplus(examples, recipe.max_grade_share, recipe.seed)
        reason = f"left out so that no grade has over {recipe.max_grade_share:g} of the training split"
        rejected += [_left_out(examples[place], reason) for place in sorted(left_out)]
        kept = [place for place in range(len(examples)) if place not in left_out]
        examples, marks = [examples[place] for place in kept], [marks[place] for place in kept]
    return examples, marks, rejected


def _rejected(pair: Pair, outcome: Rejected) -> dict[str, Any]:
    return {
        "query_id": pair.query.query_id,
        "doc_id": pair.document.doc_id,
        "reason": outcome.reason,
        "reply": outcome.reply,
    }


def _left_out(example: Example, reason: str) -> dict[str, Any]:
    reply = judging.answer(example.judgment, "grade_first")
    return {
        "query_id": example.query.query_id,
        "doc_id": example.document.doc_id,
        "reason": reason,
        "reply": reply,
    }


def _written(
    recipe: GenerateRecipe,
    place: Workplace,
    mined: MinedPairs,
    answers: Answers,
    sorted_out: tuple[list[Example], list[Mark], list[dict[str, Any]]],
) -> Artifact:
    examples, marks, rejected = sorted_out
    write_judgments(examples, place.folder, marks)
    write_rows(place.folder / "rejected.jsonl", rejected)
    if recipe.teacher.queries:
        write_rows(place.folder / "queries.jsonl", _query_rows(answers))
    if recipe.teacher.orderings:
        write_lists(place.folder, answers.lists)
    place.write_json("cost.json", answers.cost)
    notes = {
        **answers.teacher,
        "grades": recipe.teacher.grades,
        "samples": recipe.teacher.samples,
        "prompt_hash": judging.prompt_hash(fence=recipe.prompt.fence),
        **({"queries_hash": judging.queries_hash()} if recipe.teacher.queries else {}),
        **({"orderings": lists_notes(recipe.teacher.orderings, answers.lists)} if recipe.teacher.orderings else {}),
        "sites": mined.sites,
        "decontamination": mined.decontamination,
    }
    if answers.stopped:
        unanswered = sum(outcome is None for outcome in answers.outcomes)
        notes |= {"stopped": f"budget: {answers.stopped}", "unanswered": unanswered}
        keep_replies(place)
    (place.folder / PICTURE).write_text(picture(examples), "utf-8")
    save_card(card(examples, marks, notes, mined.decontamination), place.folder)
    counts = _counts(examples, marks, rejected, answers.outcomes)
    if recipe.teacher.orderings:
        counts |= lists_counts(answers.lists)
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _query_rows(answers: Answers) -> list[dict[str, Any]]:
    questions = {pair.query.query_id: pair for pair in answers.pairs}
    return [
        {
            "query_id": name,
            "query": questions[name].query.text,
            "queries": list(written),
            "split": questions[name].split,
            "site": questions[name].source.site,
        }
        for name, written in answers.queries.items()
        if isinstance(written, tuple)
    ]


def _counts(
    examples: Sequence[Example],
    marks: Sequence[Mark],
    rejected: Sequence[dict[str, Any]],
    outcomes: Sequence[Outcome],
) -> dict[str, int]:
    grades = Counter(int(example.judgment.relevance) for example in examples)
    counts = {"judgments": len(examples), "rejected": len(rejected)}
    counts |= {"questions": len({example.query.query_id.partition("#")[0] for example in examples})}
    counts |= {f"relevance_{grade}": grades[grade] for grade in (0, 1, 2)}
    counts |= {"conflicts": sum(mark.conflict for mark in marks)}
    return counts | {"unanswered": sum(outcome is None for outcome in outcomes)}
