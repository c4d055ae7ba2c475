"""artifacts: lists the outputs of interank in a folder, finished and unfinished, and removes unfinished ones."""

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
class Output:
    """A finished or an unfinished output."""

    path: Path
    """Its place; of an unfinished one the place that it will take."""
    kind: str
    """The kind of a finished output; the stage that began an unfinished one."""
    made: datetime
    """When its manifest, or the last file of an unfinished one, was written."""
    size: int
    """Bytes."""
    made_from: tuple[str, ...]
    """Its inputs: the name and path of each, and whether it is gone."""
    unfinished: str | None = None
    """The state of an unfinished output; None for a finished one."""

    def as_row(self) -> dict[str, Any]:
        """The output as plain data."""
        return {**asdict(self), "path": str(self.path), "made": self.made.isoformat(timespec="seconds")}


def artifacts(folder: Path) -> list[Output]:
    """The outputs in a folder and the folders below it, by path; links are not followed.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}; give a folder of outputs")
    return sorted(_below(folder), key=lambda each: (str(each.path), each.unfinished or ""))


def clean(folder: Path) -> tuple[list[Output], list[str]]:
    """Remove unfinished outputs from a folder; a finished output that was to be replaced is moved back to its place.

    Returns:
        The removed outputs, and a sentence on each that was not removed.
    """
    removed, kept = [], []
    for output in artifacts(folder):
        if output.unfinished is None:
            continue
        partial = Partial(output.path)
        try:
            # An output that a process is making now, on this host or another, is left alone.
            with held(partial.out):
                partial.tidy()
                partial.discard()
        except ArtifactError as error:
            kept.append(str(error))
        else:
            removed.append(output)
    return removed, kept


def _below(folder: Path) -> Iterator[Output]:
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


def _finished(folder: Path, manifest: Mapping[str, Any]) -> Output:
    return Output(
        folder,
        str(manifest["kind"]),
        _time(folder / MANIFEST),
        _size(folder),
        tuple(_described(folder, name, given) for name, given in manifest.get("inputs", {}).items()),
    )


def _begun(partial: Partial) -> Output:
    try:
        begun = partial.begun or {}
        state = "to go on with --resume" if partial.is_unfinished else "nothing to go on with"
    except (ValueError, OSError) as error:
        begun, state = {}, f"cannot be read ({error})"
    recipe = begun.get("recipe") or {}
    files = [partial.folder, *(path for path in partial.folder.rglob("*") if path.is_file())]
    inputs = begun.get("inputs") or {}
    return Output(
        partial.out,
        str(recipe.get("stage", "unknown")),
        max(map(_time, files)),
        _size(partial.folder),
        tuple(_described(partial.out, name, given) for name, given in inputs.items()),
        state,
    )


def _described(folder: Path, name: str, given: Mapping[str, Any]) -> str:
    """An input's name and path in words."""
    path = (folder.resolve() / given["path"]).resolve()
    here = Path.cwd().resolve()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{name} {shown}" + ("" if path.exists() else " (gone)")


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def as_json(outputs: list[Output]) -> str:
    """A list of outputs as JSON."""
    return json.dumps([each.as_row() for each in outputs], indent=2, ensure_ascii=False)
