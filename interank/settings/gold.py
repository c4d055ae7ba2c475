"""The judge of another family that marks fresh explanations of a policy while it trains."""

from __future__ import annotations

from pydantic import Field

from interank.settings.base import Settings
from interank.settings.teacher import TeacherRecipe


class GoldRecipe(Settings):
    """How often the policy's own explanations are marked by somebody whom no reward asks."""

    every: int = Field(ge=1)
    """Steps between two checks, a multiple of `validation.every`."""
    samples: int = Field(32, ge=4)
    """How many validation pairs are explained anew, at temperature 1, and marked at each check."""
    judge: TeacherRecipe
    """Who marks them, from 0 to 10 against the rubric of `explanation_quality`; a model of another family than the
    policy's and than any that rewards ask."""
