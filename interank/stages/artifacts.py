"""artifacts: what a folder holds of interank's outputs, finished and unfinished; the unfinished can be removed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interank.errors import ArtifactError, InputError
from interank.locks import held
from interank.outputs import MANIFEST, Partial, manifest_of

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Found:
    """An output, or what an unfinished one left."""

    path: Path
    """Where it stands, or is to stand."""
    kind: str
    """Of a finished one what it holds, of an unfinished one the stage that began it."""
    made: datetime
    """When its manifest, or the last file of an unfinished one, was written."""
    size: int
    """Bytes."""
    made_from: tuple[str, ...]
    """Its inputs: name, kind and where each is; and what became of those that are no longer as they were."""
    unfinished: str | None = None
    """How far an unfinished one is; None of a finished one."""

    def as_row(self) -> dict[str, Any]:
        """It as plain data."""
        return {**asdict(self), "path": str(self.path), "made": self.made.isoformat(timespec="seconds")}


def artifacts(folder: Path) -> list[Found]:
    """The outputs in a folder and the folders below it, by path; links are not followed.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}; give a folder of outputs")
    return sorted(_below(folder), key=lambda found: (str(found.path), found.unfinished or ""))


def clean(folder: Path) -> tuple[list[Found], list[str]]:
    """Remove what unfinished outputs in a folder left; what they were to replace gets back to its place.

    Returns:
        What was removed, and a sentence on each that was not.
    """
    removed, kept = [], []
    for found in artifacts(folder):
        if found.unfinished is None:
            continue
        partial = Partial(found.path)
        try:
            # A process that makes it now, here or on another host of the same disk, is left alone.
            with held(partial.out):
                partial.tidy()
                partial.discard()
        except ArtifactError as error:
            kept.append(str(error))
        else:
            removed.append(found)
    return removed, kept


def _below(folder: Path) -> Iterator[Found]:
    if (manifest := manifest_of(folder)) is not None:
        yield _finished(folder, manifest)
        return
    with os.scandir(folder) as entries:
        inner = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        if path.name.startswith(".") and path.name.endswith(_PARTIAL):
            partial = Partial(path.with_name(path.name[1 : -len(_PARTIAL)]))
            if partial.is_ours:
                yield _begun(partial)
        elif not path.name.startswith("."):
            yield from _below(path)


def _finished(folder: Path, manifest: Mapping[str, Any]) -> Found:
    return Found(
        folder,
        str(manifest["kind"]),
        _time(folder / MANIFEST),
        _size(folder),
        tuple(_told(folder, name, given) for name, given in manifest.get("inputs", {}).items()),
    )


def _begun(partial: Partial) -> Found:
    try:
        begun = partial.begun or {}
        how = "to go on with --resume" if partial.is_unfinished else "nothing to go on with"
    except (ValueError, OSError) as error:
        begun, how = {}, f"cannot be read ({error})"
    recipe = begun.get("recipe") or {}
    files = [partial.folder, *(path for path in partial.folder.rglob("*") if path.is_file())]
    inputs = begun.get("inputs") or {}
    return Found(
        partial.out,
        str(recipe.get("stage", "unknown")),
        max(map(_time, files)),
        _size(partial.folder),
        tuple(_told(partial.out, name, given) for name, given in inputs.items()),
        how,
    )


def _told(folder: Path, name: str, given: Mapping[str, Any]) -> str:
    """An input in words."""
    path = (folder.resolve() / given["path"]).resolve()
    here = Path.cwd().resolve()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{name} {shown}" + ("" if path.exists() else " (gone)")


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def as_json(found: list[Found]) -> str:
    """A list of outputs as JSON."""
    return json.dumps([each.as_row() for each in found], indent=2, ensure_ascii=False)
