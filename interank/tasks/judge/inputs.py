"""The inputs from which distill teaches a judge, listed without importing torch."""

from __future__ import annotations

from collections.abc import Sequence

from interank.inputs import Input, judgments
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.students import student

QUERIES = "queries.jsonl"
WITHOUT_QUERIES = (
    "so there are no search queries to learn; generate the judgments with teacher.queries, or set mixture.queries: 0"
)


def inputs(recipe: DistillJudge) -> Sequence[Input]:
    """The judgments, with search queries where they are practised, and the student."""
    entries = [student(recipe.student, recipe.prompt, recipe.task)]
    if recipe.judgments:
        queries = QUERIES if recipe.practised.queries else None
        entries.append(judgments(recipe.judgments, file=queries, reason=WITHOUT_QUERIES))
    return entries
