"""A stage's output folder: written beside its place, renamed when complete, verified when opened, with its lineage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from interank import manifests, plain_data
from interank.conversions import missing, no_output, way_to
from interank.digests import sha256
from interank.distributed import first, from_first, same
from interank.errors import ArtifactError, InputError
from interank.locks import Held, held
from interank.outputs import (
    FITS,
    MANIFEST,
    UNREPRODUCIBLE,
    Partial,
    check_free,
    check_replaceable,
    check_same,
    is_taken,
    output_folder,
    pretty,
)
from interank.resources import expanded
from interank.wording import listed

__all__ = [
    "FITS",
    "MANIFEST",
    "MERGED",
    "RECIPE",
    "Artifact",
    "Existing",
    "Kind",
    "Workplace",
    "create",
    "describe_input",
    "manifest_of",
    "model_digest",
    "open_artifact",
    "reopen",
]

FORMAT = 1
Kind = Literal["questions", "pairs", "shard", "judgments", "splits", "adapter", "reward", "evaluation"]
Existing = Literal["refuse", "resume", "overwrite"]

RECIPE = "recipe.json"
# The file in a merged model's folder that names the adapter.
MERGED = "merge.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished stage output."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The kind of its content, one of `Kind`."""
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        """The sha256 of the manifest, which has the digests of all other files."""
        return sha256(self.path / MANIFEST)

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe that made it."""
        return dict(json.loads((self.path / RECIPE).read_text("utf-8")))

    def lineage(self) -> list[dict[str, Any]]:
        """The inputs of this artifact and their inputs, nearest first: name, kind, path, digest."""
        return [entry for entry, _ in self._traced(set())]

    def ancestors(self, kind: Kind) -> tuple[list[Artifact], list[str]]:
        """The artifacts of a kind that this one was made from, each once; and the paths of missing ones.

        One is missing if it is no longer at its path or its manifest has changed since.
        """
        ancestors: dict[str, Artifact] = {}
        missing = []
        for entry, artifact in self._traced(set()):
            if entry["kind"] == kind:
                if artifact is not None and artifact.digest == entry.get("digest"):
                    ancestors.setdefault(artifact.digest, artifact)
                else:
                    missing.append(str(entry["path"]))
        return list(ancestors.values()), list(dict.fromkeys(missing))

    def _traced(self, above: set[Path]) -> Iterator[tuple[dict[str, Any], Artifact | None]]:
        """All inputs, recursively; `above` are the folders of the artifacts that lead here.

        Raises:
            ArtifactError: A manifest says that an artifact was made from itself.
        """
        here = self.path.resolve()
        if here in above:
            raise ArtifactError(
                f"{here}: {MANIFEST} says that it was made from itself, by way of its inputs; make the artifact anew"
            )
        for name, entry in self.manifest["inputs"].items():
            path = (self.path / entry["path"]).resolve()
            is_artifact = entry["kind"] in get_args(Kind) and (path / MANIFEST).is_file()
            artifact = Artifact(path, _read_manifest(path)) if is_artifact else None
            yield {"name": name, **entry}, artifact
            if artifact is not None:
                yield from artifact._traced({*above, here})


class Workplace:
    """The hidden sibling folder in which a stage's output is made; `finish` turns it into the output.

    While this object exists its process holds the place, and other processes are refused.
    """

    def __init__(
        self, out: Path, kind: Kind, recipe: Mapping[str, Any], inputs: Mapping[str, Any], *, partial: Partial
    ) -> None:
        self.out = out
        self.kind = kind
        self.partial = partial
        self.recipe = dict(recipe)
        self.inputs = dict(inputs)
        self._held = Held(partial.out) if first() else None

    @property
    def folder(self) -> Path:
        """The folder that becomes the output; every try starts with it empty and writes all files anew."""
        return self.partial.output

    @property
    def work(self) -> Path:
        """The folder of files needed to resume; it is kept until the output is in its place."""
        return self.partial.work

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the output; keys keep their order."""
        (self.folder / name).write_text(pretty(content), "utf-8")

    def finish(self, *, seed: int, counts: Mapping[str, int], notes: Mapping[str, Any] | None = None) -> Artifact:
        """Write the manifest last, move the output into its place, and remove the files for resuming.

        Of several processes only the first calls this; the others get its artifact from `of_first`.
        """
        manifest = manifest_of(self.folder, self.kind, self.inputs, seed, {"counts": dict(counts), **(notes or {})})
        # Written outside the output, where a truncated manifest would mark it as complete.
        prepared = self.partial.folder / MANIFEST
        prepared.write_text(pretty(manifest), "utf-8")
        prepared.replace(self.folder / MANIFEST)
        self.partial.hand_out()
        if self._held is not None:
            self._held.release()
        return same(Artifact(self.out, manifest))

    def of_first(self) -> Artifact:
        """Wait for the artifact that the first of several processes finishes; for the other processes."""
        return same(Artifact(self.out, {}))


def manifest_of(
    folder: Path, kind: str, inputs: Mapping[str, Any], seed: int, notes: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of a complete folder, with the digests of its files; `notes` are counts and further keys."""
    from interank import __version__

    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    head = {"kind": kind, "format": FORMAT, "interank": __version__, "seed": seed, "inputs": dict(inputs), **notes}
    return {**head, "files": _digests(folder, [name for name in names if name not in UNREPRODUCIBLE])}


def create(
    out: Path,
    kind: Kind,
    *,
    recipe: Mapping[str, Any],
    inputs: Mapping[str, Any],
    existing: Existing = "refuse",
    free: Collection[str] = (),
) -> Workplace | Artifact:
    """Begin an output at `out`, or continue it.

    Args:
        out: The path of the finished folder; a link to a folder is followed.
        kind: The kind of its content.
        recipe: The resolved recipe; on resume it has to be the one the unfinished output began with.
        inputs: `describe_input` of every input, by name.
        existing: What to do with a finished or unfinished output at `out`.
        free: Keys of the recipe, `a.b` for nested ones, that may differ on resume because the content does not
            depend on them.

    Returns:
        A workplace; or, on resume, the finished artifact when there is nothing left to do.

    Raises:
        ArtifactError: There is an output that may not be replaced, its recipe or inputs differ, or another process
            is making it.
    """
    created: list[Workplace | Artifact] = []

    def finished_by_first() -> Artifact | None:
        created.append(_created(out, kind, (recipe, inputs), existing, free))
        return created[0] if isinstance(created[0], Artifact) else None

    # Of several processes only the first creates and writes files.
    finished = from_first(finished_by_first)
    if created:
        return created[0]
    place = Partial(output_folder(out, read=_read(out, recipe, inputs)))
    return finished if finished is not None else Workplace(out, kind, recipe, inputs, partial=place)


def _created(
    out: Path,
    kind: Kind,
    wanted: tuple[Mapping[str, Any], Mapping[str, Any]],
    existing: Existing,
    free: Collection[str],
) -> Workplace | Artifact:
    """Do as `create`, in one process."""
    recipe, inputs = wanted
    place = output_folder(out, read=_read(out, recipe, inputs))
    partial = Partial(place)
    if existing == "resume" and is_taken(place) and not partial.folder.exists():
        # Without a lock, so that a finished output can be opened on a read-only disk.
        return _finished(out, kind, wanted, free)
    # The workplace takes the lock a second time and keeps it after this block.
    with held(place):
        partial.tidy()
        if existing == "overwrite":
            check_replaceable(place)
            # The finished output is kept until the new one replaces it.
            partial.discard()
        elif existing == "refuse":
            check_free(out, partial)
        elif is_taken(place) and not partial.is_unfinished:
            return _finished(out, kind, wanted, free)
        if partial.is_unfinished:
            begun = partial.begun or {}
            check_same(partial.folder, (begun["recipe"], begun["inputs"]), wanted, free)
            check_replaceable(place)
            if partial.is_whole:
                partial.hand_out()
                return open_artifact(out, kind)
        else:
            partial.discard()
            partial.begin({"recipe": recipe, "inputs": inputs})
        partial.empty_output()
        workplace = Workplace(out, kind, recipe, inputs, partial=partial)
        workplace.write_json(RECIPE, recipe)
        return workplace


def _finished(
    out: Path, kind: Kind, wanted: tuple[Mapping[str, Any], Mapping[str, Any]], free: Collection[str]
) -> Artifact:
    finished = open_artifact(out, kind)
    check_same(out, (finished.recipe(), finished.manifest["inputs"]), wanted, free)
    return finished


def _read(out: Path, recipe: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[Path]:
    """The files and folders that an output is made from: its inputs, and every existing path in the recipe."""
    for entry in inputs.values():
        yield out.resolve() / entry["path"]
    values: list[Any] = [recipe]
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, str) and "/" in value:
            # A text that is no path does not exist, or is refused as too long.
            with suppress(OSError, ValueError, InputError):
                if (path := expanded(value)).exists():
                    yield path


def open_artifact(path: Path, kind: Kind | None = None) -> Artifact:
    """Open a finished artifact and check its files against its manifest.

    Raises:
        ArtifactError: It is missing, unfinished, damaged, or of another kind.
    """
    manifest = _read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        raise ArtifactError(f"{path} holds {manifest['kind']}, where {kind} is needed; {way_to(kind, path, manifest)}")
    for name, digest in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{path}: the file {name} is missing; make the artifact anew or restore the file")
        if sha256(file) != digest:
            raise ArtifactError(f"{path}: {name} was changed after it was made; make the artifact anew")
    return Artifact(path, manifest)


def describe_input(path: Path, out: Path) -> dict[str, Any]:
    """A manifest's entry for an input: kind, path relative to the output, digest.

    An artifact's digest is its manifest's; that of any other file or folder covers names and contents. The entry of a
    merged model also has the digest of its adapter.
    """
    relative = Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()
    if (path / MANIFEST).is_file():
        artifact = open_artifact(path)
        return {"kind": artifact.kind, "path": relative, "digest": artifact.digest}
    adapter = model_digest(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if adapter is not None:
        files = [file for file in files if file.relative_to(path).parts[0] != FITS]
    total = hashlib.sha256()
    for name, digest in _digests(path, [file.relative_to(path).as_posix() for file in files]).items():
        total.update(f"{name}\0{digest}\n".encode())
    described = {"kind": "folder" if path.is_dir() else "file", "path": relative, "digest": total.hexdigest()}
    return described if adapter is None else {**described, "merged_from": adapter}


def model_digest(source: str | Path) -> str | None:
    """The digest of a model's artifact; for a merged model its adapter's; None for a model of other origin."""
    folder = expanded(source)
    if (folder / MANIFEST).is_file():
        return sha256(folder / MANIFEST)
    try:
        merged = json.loads((folder / MERGED).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    # Other tools may have a file of that name.
    adapter = merged.get("adapter") if isinstance(merged, dict) else None
    return adapter if isinstance(adapter, str) else None


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ArtifactError(missing(path, begun=Partial(path).folder.exists()))
    if path.is_file():
        raise ArtifactError(no_output(path))
    try:
        manifest = plain_data.parsed((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} has no {MANIFEST}: it is unfinished, or no output of interank; give the --out folder of "
            "an earlier stage"
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{path}: {MANIFEST} cannot be read ({error}); make the artifact anew") from None
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{path}: {MANIFEST} is another program's; give the --out folder of an earlier stage")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has the artifact format {manifest.get('format')}, and this version of interank reads "
            f"{FORMAT}; make it anew, or use the version that made it"
        )
    if missing_keys := [key for key in ("kind", "inputs", "files") if key not in manifest]:
        raise ArtifactError(f"{path}: {MANIFEST} lacks {listed(missing_keys)}; make the artifact anew")
    if fault := manifests.fault(manifest, get_args(Kind)):
        raise ArtifactError(f"{path}: {MANIFEST} is damaged ({fault}); make the artifact anew")
    return manifests.Manifest(manifest, path / MANIFEST)


def reopen(artifact: Artifact, work: Mapping[str, Path]) -> None:
    """Begin an unfinished output beside a finished artifact, to be resumed; the artifact stays until it is complete.

    Args:
        artifact: An artifact that was finished early, as by a budget.
        work: The files to copy into the work folder, by their names there.
    """
    partial = Partial(output_folder(artifact.path))
    with held(partial.out):
        partial.tidy()
        if partial.is_unfinished:
            return
        partial.discard()
        partial.begin()
        for name, file in work.items():
            shutil.copy(file, partial.work / name)
        partial.write_begun({"recipe": artifact.recipe(), "inputs": artifact.manifest["inputs"]})


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The sha256 of each of the folder's files, computed in a thread for each core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: sha256(folder / name), names), strict=True))
