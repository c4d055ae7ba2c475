"""A stage's output folder: written beside its place, renamed when whole, verified when opened, traced to its inputs."""

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
# What the merging of an adapter leaves in the merged model's folder.
MERGED = "merge.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished stage output."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What the folder holds, one of `Kind`."""
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        """The sha256 of the manifest, which holds the digests of everything else."""
        return sha256(self.path / MANIFEST)

    def recipe(self) -> dict[str, Any]:
        """The recipe it was made with, resolved."""
        return dict(json.loads((self.path / RECIPE).read_text("utf-8")))

    def lineage(self) -> list[dict[str, Any]]:
        """This artifact's inputs and theirs, nearest first: name, kind, path, digest."""
        return [given for given, _ in self._traced(set())]

    def ancestors(self, kind: Kind) -> tuple[list[Artifact], list[str]]:
        """The artifacts of a kind that this one was made from, each once; and the paths of those not at hand.

        One counts as at hand when it stands where it stood and its manifest is the one that was used.
        """
        found: dict[str, Artifact] = {}
        missing = []
        for given, artifact in self._traced(set()):
            if given["kind"] == kind:
                if artifact is not None and artifact.digest == given.get("digest"):
                    found.setdefault(artifact.digest, artifact)
                else:
                    missing.append(str(given["path"]))
        return list(found.values()), list(dict.fromkeys(missing))

    def _traced(self, above: set[Path]) -> Iterator[tuple[dict[str, Any], Artifact | None]]:
        """The inputs and theirs; `above` are the folders that led here.

        Raises:
            ArtifactError: A manifest says that an artifact was made from itself.
        """
        here = self.path.resolve()
        if here in above:
            raise ArtifactError(
                f"{here}: {MANIFEST} says that it was made from itself, by way of its inputs; make the artifact anew"
            )
        for name, given in self.manifest["inputs"].items():
            path = (self.path / given["path"]).resolve()
            is_artifact = given["kind"] in get_args(Kind) and (path / MANIFEST).is_file()
            artifact = Artifact(path, _read_manifest(path)) if is_artifact else None
            yield {"name": name, **given}, artifact
            if artifact is not None:
                yield from artifact._traced({*above, here})


class Workplace:
    """The hidden sibling folder in which a stage's output is made; becomes the output on `finish`.

    It is this process's as long as it is referred to: another one that wants the same place is refused.
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
        """What the output will be; empty at the beginning of every try, so whatever it needs is written each time."""
        return self.partial.output

    @property
    def work(self) -> Path:
        """A folder for what is needed to resume; it stays as it is until the output is in its place."""
        return self.partial.work

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the output, keys in the order given."""
        (self.folder / name).write_text(pretty(content), "utf-8")

    def finish(self, *, seed: int, counts: Mapping[str, int], notes: Mapping[str, Any] | None = None) -> Artifact:
        """Write the manifest last, put the output into its place, and drop what resuming would have needed.

        Of several processes the first does this, and its artifact is theirs (`of_first`).
        """
        told = {"counts": dict(counts), **(notes or {})}
        manifest = manifest_of(self.folder, self.kind, self.inputs, seed, told)
        # Not written in the output, where half of it would pass for the whole.
        prepared = self.partial.folder / MANIFEST
        prepared.write_text(pretty(manifest), "utf-8")
        prepared.replace(self.folder / MANIFEST)
        self.partial.hand_out()
        if self._held is not None:
            self._held.release()
        return same(Artifact(self.out, manifest))

    def of_first(self) -> Artifact:
        """The artifact that the first of several processes finishes; for the others, which wait for it here."""
        return same(Artifact(self.out, {}))


def manifest_of(
    folder: Path, kind: str, inputs: Mapping[str, Any], seed: int, told: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of a whole folder, whose files it names; `told` are counts and notes."""
    from interank import __version__

    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    made = {"kind": kind, "format": FORMAT, "interank": __version__, "seed": seed, "inputs": dict(inputs), **told}
    return {**made, "files": _digests(folder, [name for name in names if name not in UNREPRODUCIBLE])}


def create(
    out: Path,
    kind: Kind,
    *,
    recipe: Mapping[str, Any],
    inputs: Mapping[str, Any],
    existing: Existing = "refuse",
    free: Collection[str] = (),
) -> Workplace | Artifact:
    """Begin an output at `out`, or go on with it.

    Args:
        out: Where the finished folder will stand; a link to a folder is followed.
        kind: What it will hold.
        recipe: The resolved recipe; on resume it has to be the one the unfinished output began with.
        inputs: Name to `describe_input` of every input.
        existing: What to do about an output, finished or not, that is already there.
        free: Keys of the recipe, `a.b` of nested ones, that may differ on resume because the content does not
            depend on them.

    Returns:
        A workplace; or, on resume, the finished artifact when there is nothing left to do.

    Raises:
        ArtifactError: There is an output and it may not be touched, its recipe or inputs differ, or another process
            is making it.
    """
    made: list[Workplace | Artifact] = []

    def finished() -> Artifact | None:
        made.append(_created(out, kind, (recipe, inputs), existing, free))
        return made[0] if isinstance(made[0], Artifact) else None

    # Of several processes the first makes it; the others know the place, and write nothing there.
    found = from_first(finished)
    if made:
        return made[0]
    place = Partial(output_folder(out, read=_read(out, recipe, inputs)))
    return found if found is not None else Workplace(out, kind, recipe, inputs, partial=place)


def _created(
    out: Path,
    kind: Kind,
    wanted: tuple[Mapping[str, Any], Mapping[str, Any]],
    existing: Existing,
    free: Collection[str],
) -> Workplace | Artifact:
    """As `create`, in one process."""
    recipe, inputs = wanted
    place = output_folder(out, read=_read(out, recipe, inputs))
    partial = Partial(place)
    if existing == "resume" and is_taken(place) and not partial.folder.exists():
        # What is finished can be had where nothing may be written.
        return _finished(out, kind, wanted, free)
    # Another workplace holds it too; the place is free again when neither does.
    with held(place):
        partial.tidy()
        if existing == "overwrite":
            check_replaceable(place)
            # The finished output stays until the new one replaces it.
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
    """The files and folders that an output is made from: its inputs, and whatever path the recipe names."""
    for given in inputs.values():
        yield out.resolve() / given["path"]
    leaves: list[Any] = [recipe]
    while leaves:
        found = leaves.pop()
        if isinstance(found, Mapping):
            leaves += found.values()
        elif isinstance(found, list | tuple):
            leaves += found
        elif isinstance(found, str) and "/" in found:
            # What is no path does not exist, or is too long to be asked for.
            with suppress(OSError, ValueError, InputError):
                if (path := expanded(found)).exists():
                    yield path


def open_artifact(path: Path, kind: Kind | None = None) -> Artifact:
    """Open a finished artifact and check that its files are what its manifest says.

    Raises:
        ArtifactError: It is missing, unfinished, damaged, or of another kind.
    """
    manifest = _read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        told = way_to(kind, path, manifest)
        raise ArtifactError(f"{path} holds {manifest['kind']}, where {kind} is needed; {told}")
    for name, digest in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{path}: the file {name} is missing; make the artifact anew or restore the file")
        if sha256(file) != digest:
            raise ArtifactError(f"{path}: {name} was changed after it was made; make the artifact anew")
    return Artifact(path, manifest)


def describe_input(path: Path, out: Path) -> dict[str, Any]:
    """How a manifest names an input: kind, path relative to the output, digest.

    An artifact's digest is its manifest's; of any other file or folder it is taken over names and contents. A merged
    model's folder also names the adapter that it was merged from.
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
    """The digest of a model's artifact, also of one that was merged from it; None of a model that is none."""
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
    if lacking := [key for key in ("kind", "inputs", "files") if key not in manifest]:
        raise ArtifactError(f"{path}: {MANIFEST} lacks {listed(lacking)}; make the artifact anew")
    if fault := manifests.fault(manifest, get_args(Kind)):
        raise ArtifactError(f"{path}: {MANIFEST} is damaged ({fault}); make the artifact anew")
    return manifests.Manifest(manifest, path / MANIFEST)


def reopen(artifact: Artifact, work: Mapping[str, Path]) -> None:
    """Make a finished artifact's unfinished twin, to go on with on resume; the artifact stays until that is whole.

    Args:
        artifact: What was finished before its time.
        work: Names in the work folder, and the files to put there.
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
    """The sha256 of each of the folder's files, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: sha256(folder / name), names), strict=True))
