"""Where a head's training data comes from: groups of queries' documents, and the teacher's scores of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from interank import distributed
from interank.artifact import Workplace
from interank.errors import InputError
from interank.ir.benchmarks import read_documents
from interank.ir.trec import read_run
from interank.judgments import JudgedList, evenly_weighted, read_judgments
from interank.ledger import Ledger, write_rows
from interank.tasks.documents import warn_unread
from interank.tasks.head.groups import (
    FILE,
    TeacherScores,
    documents_of,
    drawn,
    groups_of,
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

    groups: list[JudgedList]
    validation: list[JudgedList]
    counts: dict[str, int]


def head_lists(recipe: DistillHead) -> HeadLists:
    """Read the queries and draw their groups; the recipe's seed decides which.

    Raises:
        InputError: No query has documents of two grades.
    """
    queries = _with_negatives(recipe, sampled(_lists(recipe, "train"), recipe.queries, recipe.seed))
    for item in queries:
        warn_unread(item.query, "a head")
    groups = [
        group for item in queries for group in drawn(item, recipe.documents, recipe.groups_per_query, recipe.seed)
    ]
    source = recipe.groups or recipe.judgments
    if not groups:
        raise InputError(f"{source} has no training query with documents of two grades, so there is nothing to learn")
    learned = {group.query.query_id for group in groups}
    if len(learned) < len(queries):
        left_out = len(queries) - len(learned)
        log.info("%d of %d queries have documents of one grade only and are left out", left_out, len(queries))
    validation = _validation_lists(recipe)
    if recipe.validation.questions and not validation:
        log.warning(
            "no held-out query has documents of two grades, so there is no validation and the last step is kept; "
            "interank split holds queries of judgments back for validation"
        )
    counts = {
        "questions": len(learned),
        "left_out": len(queries) - len(learned),
        "groups": len(groups),
        "examples": sum(len(group.documents) for group in groups),
        "validation_pairs": sum(len(item.documents) for item in validation),
    }
    return HeadLists(groups, validation, counts)


def _lists(recipe: DistillHead, split: Split) -> Iterator[JudgedList]:
    """The queries of a split with all their documents; files without splits are split by the seed."""
    if recipe.groups is None:
        yield from groups_of(evenly_weighted(read_judgments(Path(str(recipe.judgments)), split)))
        return
    share = recipe.validation_share if recipe.validation.questions else 0.0
    for item in read_groups(recipe.groups):
        if is_held_out(item, share, recipe.seed) == (split == "validation"):
            yield item


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


def teacher_scores(recipe: DistillHead, groups: list[JudgedList], place: Workplace) -> TeacherScores | None:
    """The teacher's scores of the groups' documents; None without a teacher.

    The scores of a model are computed here, resumed where a killed run stopped, and stored with the output.

    Raises:
        InputError: A file's scores are of other documents, or it has none.
    """
    if recipe.teacher_scores:
        return read_teacher_scores(recipe.teacher_scores)
    if recipe.teacher is None:
        return None
    if recipe.teacher == JUDGMENTS_AS_TEACHER:
        return judgments_scores(read_judgments(Path(str(recipe.judgments)), "train"), str(recipe.judgments))
    # Only the first of several processes runs the teacher.
    return distributed.from_first(lambda: _scored(recipe, str(recipe.teacher), groups, place))


def _scored(recipe: DistillHead, name: str, groups: list[JudgedList], place: Workplace) -> TeacherScores:
    """The scores of a teacher that is a model."""
    ledger = Ledger(place.work / FILE)
    portions = waiting(groups, ledger)
    if portions:
        log.info("%s scores %d pairs", name, sum(map(len, portions)))
        teacher = open_teacher(recipe)
        score(teacher, portions, ledger)
        del teacher
        if torch.cuda.is_available():
            # The student needs the memory.
            torch.cuda.empty_cache()
    # A pair that was scored again after a kill has the same score.
    rows = {(row["query_id"], row["doc_id"]): row for row in ledger.rows()}
    write_rows(place.folder / FILE, rows.values())
    return read_teacher_scores(place.folder / FILE)
