"""Where a head's training data comes from: groups of queries' documents, and the teacher's scores of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import torch

from interank import distributed
from interank.artifact import Workplace
from interank.errors import InputError
from interank.ir.benchmarks import read_documents
from interank.ir.trec import read_run
from interank.judged_questions import JudgedQuestions, Reiterable
from interank.judgments import JudgedList
from interank.ledger import Ledger, write_rows
from interank.tasks.documents import warn_unread
from interank.tasks.head.groups import (
    FILE,
    TeacherScores,
    documents_of,
    drawn,
    is_held_out,
    judgments_scores,
    read_groups,
    read_teacher_scores,
    sampled,
    to_try,
    with_negatives,
)
from interank.tasks.head.recipe import JUDGMENTS_AS_TEACHER, DistillHead
from interank.tasks.head.teacher import open_teacher, score, waiting
from interank.types import Split

log = logging.getLogger(__name__)

# The documents that a reranker usually gets from a first stage.
_TRIED_DOCUMENTS = 20


@dataclass(frozen=True, slots=True)
class HeadLists:
    """Groups to train on, and lists to validate with."""

    groups: Iterable[JudgedList]
    """Read and drawn anew at each iteration."""
    validation: list[JudgedList]
    counts: dict[str, int]


def head_lists(recipe: DistillHead) -> HeadLists:
    """Read the queries and draw their groups; the recipe's seed decides which.

    One query is in memory at a time beside the ids of those before. With `queries` the drawn ones are; with negatives
    from elsewhere all are, and the documents to take them from.

    Raises:
        InputError: No query has documents of two grades.
    """
    queries = _queries(recipe)
    total, sizes, learned = 0, Counter[int](), set[str]()
    for item in queries:
        warn_unread(item.query, "a head")
        total += 1
        for group in _groups(recipe, item):
            learned.add(group.query.query_id)
            sizes[len(group.documents)] += 1
    source = recipe.groups or recipe.judgments
    if not sizes:
        raise InputError(f"{source} has no training query with documents of two grades, so there is nothing to learn")
    left_out = total - len(learned)
    if left_out:
        log.info("%d of %d queries have documents of one grade only and are left out", left_out, total)
    validation = _validation_lists(recipe)
    if recipe.validation.questions and not validation:
        log.warning(
            "no held-out query has documents of two grades, so there is no validation and the last step is kept; "
            "interank split holds queries of judgments back for validation"
        )
    counts = {
        "questions": len(learned),
        "left_out": left_out,
        "groups": sizes.total(),
        "examples": sum(sizes.elements()),
        "validation_pairs": sum(len(item.documents) for item in validation),
    }
    return HeadLists(
        Reiterable(lambda: (group for item in queries for group in _groups(recipe, item))), validation, counts
    )


def _queries(recipe: DistillHead) -> Iterable[JudgedList]:
    """The queries to train on."""
    lists = _lists(recipe, "train")
    if recipe.queries is not None:
        lists = sampled(lists, recipe.queries, recipe.seed)
    return _with_negatives(recipe, list(lists)) if recipe.negatives != "given" else lists


def _groups(recipe: DistillHead, item: JudgedList) -> list[JudgedList]:
    return drawn(item, recipe.documents, recipe.groups_per_query, recipe.seed)


def _lists(recipe: DistillHead, split: Split) -> Iterable[JudgedList]:
    """The queries of a split with all their documents; files without splits are split by the seed."""
    if recipe.groups is None:
        return _judged(recipe, split)
    path, share = recipe.groups, recipe.validation_share if recipe.validation.questions else 0.0
    held_out = split == "validation"
    return Reiterable(lambda: (item for item in read_groups(path) if is_held_out(item, share, recipe.seed) == held_out))


def _judged(recipe: DistillHead, split: Split) -> Iterable[JudgedList]:
    """The questions of judgments, in training with the judgments' scores where these are the teacher."""
    source = str(recipe.judgments)
    questions = JudgedQuestions(Path(source), split)
    summary = questions.summary
    teaches = recipe.teacher == JUDGMENTS_AS_TEACHER and split == "train"

    def lists() -> Iterator[JudgedList]:
        for items in questions:
            item = JudgedList.of([replace(each, weight=summary.weight(each.weight)) for each in items])
            scored = judgments_scores(items, source, labelled=summary.scored > 0).of(item) if teaches else ()
            yield replace(item, scores=scored)

    return Reiterable(lists)


def _with_negatives(recipe: DistillHead, lists: list[JudgedList]) -> list[JudgedList]:
    if recipe.negatives == "given" or not lists:
        return lists
    documents = read_documents(recipe.corpus) if recipe.corpus else documents_of(lists)
    run = read_run(recipe.run) if recipe.run else None
    return with_negatives(lists, documents, run=run, depth=recipe.depth, language=recipe.language)


def _validation_lists(recipe: DistillHead) -> list[JudgedList]:
    questions = recipe.validation.questions
    if not questions:
        return []
    rankable = (item for item in _lists(recipe, "validation") if any(item.grades))
    lists = _with_negatives(recipe, sampled(rankable, questions, recipe.seed))
    return [to_try(item, _TRIED_DOCUMENTS, recipe.seed) for item in lists if len(set(item.grades)) > 1]


Teacher = Callable[[JudgedList], tuple[float, ...]]
"""Gives the scores of a group's documents, in its order."""


def teacher_of(recipe: DistillHead, groups: Iterable[JudgedList], place: Workplace) -> Teacher | None:
    """The teacher's scores of the groups' documents; None without a teacher.

    The scores of a model are computed here, resumed where a killed run stopped, and stored with the output. They, or
    those of a file, are held with their ids; the judgments' own are not.

    Raises:
        InputError: A file's scores are of other documents, or it has none.
    """
    if recipe.teacher_scores:
        return read_teacher_scores(recipe.teacher_scores).of
    if recipe.teacher is None:
        return None
    if recipe.teacher == JUDGMENTS_AS_TEACHER:
        return attrgetter("scores")
    # Only the first of several processes runs the teacher.
    return distributed.from_first(lambda: _scored(recipe, groups, place)).of


def _scored(recipe: DistillHead, groups: Iterable[JudgedList], place: Workplace) -> TeacherScores:
    """The scores of a teacher that is a model."""
    ledger = Ledger(place.work / FILE)
    sizes = [len(portion) for portion in waiting(groups, ledger)]
    if sizes:
        log.info("%s scores %d pairs", recipe.teacher, sum(sizes))
        teacher = open_teacher(recipe)
        score(teacher, waiting(groups, ledger), ledger, total=len(sizes))
        del teacher
        if torch.cuda.is_available():
            # The student needs the memory.
            torch.cuda.empty_cache()
    # A pair that was scored again after a kill has the same score.
    rows = {(row["query_id"], row["doc_id"]): row for row in ledger.each()}
    write_rows(place.folder / FILE, rows.values())
    return read_teacher_scores(place.folder / FILE)
