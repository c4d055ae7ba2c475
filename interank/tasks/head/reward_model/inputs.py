"""The inputs of `interank reward`, listed without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from interank.artifact import MANIFEST, open_artifact
from interank.errors import InputError
from interank.explanations import ExplanationRow, read_explanations
from interank.inputs import Input, classifier
from interank.resources import expanded
from interank.tasks.head.reward_model.comparisons import marked, require_comparable
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.wording import counted


def named(recipe: RewardModelRecipe) -> Sequence[Input]:
    """The student, and explanations that can be compared."""
    entries = [_student(recipe.student)]
    if recipe.judgments:
        kind = partial(open_artifact, kind="judgments")
        what = "judgments with explanations, an output of interank generate"
        opened = partial(compared_rows, recipe)
        entries.append(Input("judgments", recipe.judgments, what, opened, "name", glance=kind))
    return entries


def _student(source: str) -> Input:
    """The base model; an adapter on it is refused with the base's name."""
    given = classifier("student", source)

    def checked(place: Path, check: Callable[[Path], object] | None) -> None:
        path = expanded(source)
        if (path / MANIFEST).is_file():
            # It loads torch.
            from interank.engines.bases import base_name

            base = base_name(open_artifact(path, "adapter"))
            raise InputError(
                f"student: {path} is an adapter, and a reward model is one more adapter on the same base; give the "
                f"base itself: student={base}"
            )
        if check is not None:
            check(place)

    return replace(given, opened=partial(checked, check=given.opened), glance=partial(checked, check=given.glance))


def compared_rows(recipe: RewardModelRecipe, place: Path) -> tuple[list[ExplanationRow], list[ExplanationRow]]:
    """The explanations to learn from, and those of held-out questions, which include the kinds that are left out.

    Raises:
        ArtifactError: The folder holds no judgments.
        InputError: There are no explanations, none is better than another of its pair, or a question is in both splits.
    """
    open_artifact(place, "judgments")
    rows = read_explanations(place)
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.query_id, set()).add(row.split)
    if shared := [name for name, own in splits.items() if len(own) > 1]:
        raise InputError(
            f"{place}: {counted(len(shared), 'question')} ({shared[0]}) has explanations of both splits, and what is "
            "held out has to be of other questions; give each question's rows one split"
        )
    train = marked([row for row in rows if row.split == "train"], recipe.left_out)
    require_comparable(train, recipe.least_difference, place)
    return train, marked([row for row in rows if row.split == "validation"])
