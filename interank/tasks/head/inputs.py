"""What distill reads to teach a head, told without loading what runs models."""

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
    """Judgments, groups from elsewhere, what negatives are taken from, and who is distilled or trained further."""
    named = [classifier("student", recipe.student)]
    if recipe.judgments:
        named.append(judgments(recipe.judgments))
    if recipe.groups:
        what = "queries with positives and negatives, a file or folder"
        named.append(Input("groups", recipe.groups, what, first_group))
    if recipe.run:
        named.append(Input("run", recipe.run, "a TREC run", read_run, "file"))
    if recipe.corpus:
        named.append(Input("corpus", recipe.corpus, "documents as JSONL or Parquet", first_document, "file"))
    if recipe.teacher_scores:
        named.append(Input("teacher_scores", recipe.teacher_scores, "a teacher's scores", _scores, "file"))
    if recipe.adapter:
        named.append(artifact("adapter", recipe.adapter, "adapter"))
    if recipe.teacher and recipe.teacher != JUDGMENTS_AS_TEACHER:
        path = expanded(recipe.teacher)
        named.append(Input("teacher", path, "a head", lambda _: _is_head(recipe), "name", described=path.exists()))
    return named


def _scores(path: Path) -> None:
    """Stop at a file of scores that holds none."""
    if not len(read_teacher_scores(path)):
        raise InputError(f"{path}: found no score; expected one for each pair that is learned; name a filled file")


def _is_head(recipe: DistillHead) -> None:
    """Stop where the teacher, as far as it is on this machine, is neither a head nor a released reranker.

    Raises:
        ModelError: It is a model of another kind, or no model.
    """
    from interank.engines.heads import find_head
    from interank.engines.late_lists import reads_lists
    from interank.engines.models import model_here
    from interank.engines.released_forms import released_form

    teacher = str(recipe.teacher)
    known = (expanded(teacher).exists() or model_here(teacher) is not None) and not reads_lists(teacher)
    if known and released_form(teacher) is None and find_head(teacher) is None:
        raise ModelError(f"{teacher} is a language model without a head; train one with interank distill")
