"""The inputs from which distill teaches a head, listed without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interank.errors import InputError, ModelError
from interank.inputs import Input, artifact, classifier, judgments
from interank.ir.benchmarks import first_document
from interank.ir.trec import read_run
from interank.resources import expanded
from interank.tasks.head.groups import first_group, read_teacher_scores
from interank.tasks.head.recipe import JUDGMENTS_AS_TEACHER, DistillHead


def inputs(recipe: DistillHead) -> Sequence[Input]:
    """The student, judgments or groups, the sources of negatives, and the teacher or the adapter to train further."""
    entries = [classifier("student", recipe.student)]
    if recipe.judgments:
        entries.append(judgments(recipe.judgments))
    if recipe.groups:
        what = "queries with positives and negatives, a file or folder"
        entries.append(Input("groups", recipe.groups, what, first_group))
    if recipe.run:
        entries.append(Input("run", recipe.run, "a TREC run", read_run, "file"))
    if recipe.corpus:
        entries.append(Input("corpus", recipe.corpus, "documents as JSONL or Parquet", first_document, "file"))
    if recipe.teacher_scores:
        entries.append(Input("teacher_scores", recipe.teacher_scores, "a teacher's scores", _scores, "file"))
    if recipe.adapter:
        entries.append(artifact("adapter", recipe.adapter, "adapter"))
    if recipe.teacher and recipe.teacher != JUDGMENTS_AS_TEACHER:
        path = expanded(recipe.teacher)
        entries.append(Input("teacher", path, "a head", lambda _: _is_head(recipe), "name", described=path.exists()))
    return entries


def _scores(path: Path) -> None:
    """Refuse a file without scores."""
    if not len(read_teacher_scores(path)):
        raise InputError(f"{path}: found no score; expected one for each pair that is learned; name a filled file")


def _is_head(recipe: DistillHead) -> None:
    """Refuse a teacher on this machine that is neither a head nor a released reranker.

    Raises:
        ModelError: The teacher is a model of another kind, or no model.
    """
    from interank.engines.heads import find_head
    from interank.engines.late_lists import reads_lists
    from interank.engines.models import model_here
    from interank.engines.released_forms import released_form

    teacher = str(recipe.teacher)
    known = (expanded(teacher).exists() or model_here(teacher) is not None) and not reads_lists(teacher)
    if known and released_form(teacher) is None and find_head(teacher) is None:
        raise ModelError(f"{teacher} is a language model without a head; train one with interank distill")
