"""The inputs from which distill teaches orders, listed without importing torch."""

from __future__ import annotations

from collections.abc import Sequence

from interank.inputs import Input, judgments
from interank.ir.overlap import read_texts
from interank.settings import PromptSettings
from interank.tasks.order.dear_cot import read_dear_cot
from interank.tasks.order.orderings import FILE, WITHOUT
from interank.tasks.order.recipe import DistillOrder
from interank.tasks.students import student


def inputs(recipe: DistillOrder) -> Sequence[Input]:
    """The judgments, lists from elsewhere, the benchmarks that these are compared with, and the student."""
    entries = [student(recipe.student, PromptSettings(), recipe.task)]
    if recipe.judgments:
        entries.append(judgments(recipe.judgments, file=None if recipe.dear_cot else FILE, reason=WITHOUT))
    for number, path in enumerate(recipe.dear_cot):
        entries.append(Input(f"dear_cot.{number}", path, "lists in DeAR-COT's layout, a file or folder", read_dear_cot))
    for number, path in enumerate(recipe.benchmarks):
        entries.append(Input(f"benchmarks.{number}", path, "a benchmark, a file or folder", read_texts))
    return entries
