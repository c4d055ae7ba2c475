"""What `interank reward` reads, told without loading what runs models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from interank.artifact import open_artifact
from interank.explanations import Explained, read_explanations
from interank.inputs import Input, classifier
from interank.tasks.head.explained.compared import marked, require_comparable
from interank.tasks.head.explained.recipe import RewardModelRecipe


def named(recipe: RewardModelRecipe) -> Sequence[Input]:
    """The student, and explanations that can be compared."""
    found = [classifier("student", recipe.student)]
    if recipe.judgments:
        kind = partial(open_artifact, kind="judgments")
        what = "judgments with explanations, an output of interank generate"
        opened = partial(compared_rows, recipe)
        found.append(Input("judgments", recipe.judgments, what, opened, "name", glance=kind))
    return found


def compared_rows(recipe: RewardModelRecipe, place: Path) -> tuple[list[Explained], list[Explained]]:
    """What is learned, and the held-out questions' explanations, those of kinds that are left out too.

    Raises:
        ArtifactError: The folder holds no judgments.
        InputError: It has no explanations, or none of a pair is better than another.
    """
    open_artifact(place, "judgments")
    rows = read_explanations(place)
    train = marked([row for row in rows if row.split == "train"], recipe.left_out)
    require_comparable(train, recipe.least_difference, place)
    return train, marked([row for row in rows if row.split == "validation"])
