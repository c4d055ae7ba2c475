"""The shards to join, checked: complete, finished, of one recipe and of unchanged pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.errors import ArtifactError, InputError
from interank.shards import Shard
from interank.stages.rankings import FREE as RANKED_FREE
from interank.stages.shards import FREE
from interank.wording import listed


def opened(folders: Sequence[Path]) -> list[Artifact]:
    """The shards in their order.

    Raises:
        InterankError: A shard is missing or given twice, or the shards are not of one run.
    """
    by_shard: dict[Shard, Artifact] = {}
    for path in _paths(folders):
        artifact = open_artifact(path, "shard")
        shard = Shard.parse(artifact.manifest["shard"])
        if shard in by_shard:
            raise InputError(f"shard {shard} is there twice, in {by_shard[shard].path} and {path}; leave one out")
        by_shard[shard] = artifact
    shards = [by_shard[shard] for shard in sorted(by_shard)]
    first = shards[0]
    for shard, artifact in by_shard.items():
        _require_alike(first, artifact)
        if "stopped" in artifact.manifest:
            raise InputError(
                f"{artifact.path} stopped at its {artifact.manifest['stopped']}; give its command a larger budget and "
                f"--resume, and join then (shard {shard})"
            )
    of = Shard.parse(first.manifest["shard"]).of
    missing = [str(shard) for number in range(1, of + 1) if (shard := Shard(of, number)) not in by_shard]
    if missing:
        names = listed(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"shards are missing: {names}; make each by interank {stage_of(first)} RECIPE "
            f"{'pairs=DIR ' if stage_of(first) == 'generate' else ''}--shards {missing[0]} --out DIR"
        )
    return shards


def _paths(folders: Sequence[Path]) -> list[Path]:
    """Each shard's folder; a folder of shards is replaced by the shards in it."""
    paths: list[Path] = []
    for folder in folders:
        inside = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
        if (folder / MANIFEST).is_file() or not inside:
            # Opening it will tell if it is no shard.
            paths.append(folder)
        else:
            paths += inside
    return paths


def _require_alike(first: Artifact, other: Artifact) -> None:
    """Raise where two shards are not of one run.

    Raises:
        InputError: Names the difference.
    """
    mine, theirs = Shard.parse(first.manifest["shard"]), Shard.parse(other.manifest["shard"])
    both = f"{first.path} (shard {mine}) and {other.path} (shard {theirs})"
    if mine.of != theirs.of:
        raise InputError(f"{both} are of different numbers of shards; join those of one number")
    if stage_of(first) != stage_of(other):
        raise InputError(f"{both} are of different stages; join those of one stage")
    given, wanted = ({name: each["digest"] for name, each in one.manifest["inputs"].items()} for one in (other, first))
    if differing := sorted(name for name in {*given, *wanted} if given.get(name) != wanted.get(name)):
        raise InputError(f"{both} are of different {listed(differing)}; make one of them anew from the other's")
    ours, others = _content(first), _content(other)
    if differing := sorted(name for name in {*ours, *others} if ours.get(name) != others.get(name)):
        raise InputError(f"{both} are of different recipes ({listed(differing)}); make one of them anew")


def _content(artifact: Artifact) -> dict[str, Any]:
    """A shard's recipe without the keys on which its rows do not depend."""
    recipe = artifact.recipe()
    for name in (*FREE, *RANKED_FREE, "shard", "pairs"):
        *above, last = name.split(".")
        section: Any = recipe
        for key in above:
            section = section.get(key) or {}
        section.pop(last, None)
    return recipe


def stage_of(shard: Artifact) -> str:
    """The stage of a shard."""
    return str(shard.recipe()["stage"])


def inputs_of(first: Artifact, out: Path) -> dict[str, Any]:
    """The pairs as an input of the joined output.

    Raises:
        ArtifactError: The pairs were changed.
    """
    given = first.manifest["inputs"]["pairs"]
    path = (first.path / given["path"]).resolve()
    if (path / MANIFEST).is_file() and Artifact(path, {}).digest != given["digest"]:
        raise ArtifactError(f"{path}: these pairs were changed after the shards were judged; make the shards anew")
    return {"pairs": {**given, "path": Path(os.path.relpath(path, out.resolve())).as_posix()}}
