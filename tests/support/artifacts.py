"""Judgments artifacts made of examples, as `generate` would leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interank.artifact import Workplace, create
from interank.judgments import write_judgments
from interank.types import Example


def judgments_artifact(out: Path, examples: Sequence[Example]) -> Path:
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    return place.finish(seed=0, counts={"judgments": len(examples)}).path
