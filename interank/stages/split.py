"""split: divides questions or judgments by question into train, and dev and test as benchmarks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from interank.artifact import Artifact, Existing, create, describe_input
from interank.splits.content import content_of
from interank.splits.grouping import PARTS, group, share_out
from interank.splits.parts import SplitSettings, number_of, write_benchmarks, write_card, write_train


def run(source: Path, out: Path, settings: SplitSettings | None = None, *, existing: Existing = "refuse") -> Artifact:
    """Split an artifact of questions or judgments.

    Raises:
        ArtifactError: The source is something else.
        InputError: There are too few questions.
    """
    settings = settings or SplitSettings()
    content = content_of(source)
    groups = group(content.queries, content.threads, settings.seed)
    parts = share_out(groups, settings.shares, PARTS)
    inputs = {content.artifact.kind: describe_input(source, out)}
    recipe = {"split": str(source), **json.loads(json.dumps(asdict(settings)))}
    place = create(out, "splits", recipe=recipe, inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    trained = write_train(place.folder, content, parts, settings, recipe)
    counts = {**write_benchmarks(place.folder, content, parts), **trained}
    counts |= {"groups": len(groups.members), "kept_together": groups.joined, "largest_group": groups.largest}
    write_card(place.folder, content, counts, groups)
    notes = {"of": content.artifact.kind, "parts": {part: number_of(parts, part) for part in PARTS}}
    return place.finish(seed=settings.seed, counts=counts, notes=notes)
