"""The places of outputs: which are refused, what may be replaced, and the folder in which a new one is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from interank.errors import ArtifactError, InputError

MANIFEST = "manifest.json"
# The folder of stored fits, which may be added to a model's folder later and is not covered by its digests.
FITS = "fits"
# Files with seconds or costs, which differ from run to run and have no digest; all others are reproducible.
UNREPRODUCIBLE = frozenset({"cost.json", "cost.jsonl", "log.jsonl", "report.html", "report.md"})

# Keys that earlier versions' recipes and outputs have, and their new names.
RENAMED_KEYS = {"seatbelt": "collapse_detection"}

_BEGUN = "begun.json"
_PARTS = frozenset({"output", "work", "replaced", MANIFEST})


def output_folder(out: Path, *, read: Iterable[Path] = ()) -> Path:
    """Check and resolve an output's path; a link is followed, so that its target is replaced and not the link.

    Args:
        out: The path that the user gave.
        read: Files and folders that the output is made from.

    Raises:
        ArtifactError: There is a file, or the folder is a mount point or holds the working directory or an input.
    """
    try:
        place = out.resolve()
    except (OSError, RuntimeError) as error:
        raise ArtifactError(f"{out} cannot be an output: {error}; choose another --out") from None
    here = Path.cwd().resolve()
    if place == here or place in here.parents:
        what = "is the working directory" if place == here else "holds the working directory"
        raise ArtifactError(f"{out} {what}, but an output needs a folder of its own; choose another --out")
    if place.exists() and not place.is_dir():
        raise ArtifactError(f"{out} is a file, but an output is a folder; choose another --out")
    above = next(folder for folder in place.parents if folder.exists())
    if not above.is_dir():
        raise ArtifactError(f"{out} cannot be made in {above}, which is a file; choose another --out")
    if place.is_mount():
        raise ArtifactError(f"{out} is a mount point, which cannot be renamed; give a folder in it as --out")
    folder_name = out if not out.is_symlink() and out.name not in ("", "..") else place
    for folder in (place, Partial(place).folder):
        for path in read:
            source = path.resolve()
            if source == folder:
                raise ArtifactError(f"{out} is an input and would be lost; choose another --out")
            if folder in source.parents:
                shown = source.relative_to(here) if here in source.parents else source
                raise ArtifactError(f"{out} holds {shown}, which is an input; choose another --out")
    return folder_name


def is_taken(place: Path) -> bool:
    """Whether there is a file or a non-empty folder at a place."""
    return place.exists() and not (place.is_dir() and next(place.iterdir(), None) is None)


def check_replaceable(out: Path) -> None:
    """Refuse to replace a folder that interank did not make, or that holds other files.

    Raises:
        ArtifactError: It is such a folder; the message names what is in it.
    """
    if not is_taken(out):
        return
    manifest = manifest_of(out)
    if manifest is None:
        raise ArtifactError(
            f"{out} was not made by interank, as it has no {MANIFEST} of interank's; choose another --out"
        )
    own = {MANIFEST, *manifest["files"], *UNREPRODUCIBLE}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if not path.is_dir() and name.as_posix() not in own and name.parts[0] != FITS:
            raise ArtifactError(
                f"{out} holds {name.as_posix()}, which interank did not make and which would be lost; move it, or "
                "choose another --out"
            )


def manifest_of(out: Path) -> dict[str, Any] | None:
    """A folder's manifest; None if there is none, or another program's."""
    try:
        manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and {"kind", "format", "interank", "files"} <= manifest.keys()
    return dict(manifest) if ours else None


class Partial:
    """The hidden sibling folder in which an output is made; the output is renamed into place at the end.

    `output/` becomes the output, and every try makes it anew. `work/` has the files needed to resume, and is kept
    until the output is in its place. `replaced/` is the old output. After a kill the files show how far it came:

    * without `work/begun.json` nothing was begun, or all is done but the clean-up;
    * with it and `output/manifest.json` the output is complete and has to be moved into its place;
    * with it and without `output/` the output is in its place.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.parent / f".{out.name}.partial"
        self.output = self.folder / "output"
        self.work = self.folder / "work"
        self.replaced = self.folder / "replaced"

    @property
    def begun(self) -> dict[str, Any] | None:
        """The recipe and inputs with which the output was begun; None if it was not."""
        try:
            return dict(json.loads((self.work / _BEGUN).read_text("utf-8")))
        except FileNotFoundError:
            return None

    @property
    def is_whole(self) -> bool:
        """Whether the output is complete and only has to be moved into its place."""
        return (self.output / MANIFEST).is_file()

    @property
    def is_unfinished(self) -> bool:
        """Whether there is something to resume; a stage that failed at its first step left nothing.

        Files whose names begin with a dot do not count, since every try makes them anew.
        """
        if self.begun is None:
            return False
        return self.is_whole or any(_BEGUN not in path.name and path.name[0] != "." for path in self.work.iterdir())

    @property
    def foreign(self) -> list[str]:
        """The names in the folder that interank did not make."""
        return sorted(path.name for path in self.folder.iterdir() if path.name not in _PARTS)

    @property
    def is_ours(self) -> bool:
        """Whether interank made the folder; other programs use such names too, and an empty one may be theirs."""
        return any(self.folder.iterdir()) and not self.foreign

    def tidy(self) -> None:
        """Remove what a kill left of an output that is in its place, or was never begun.

        Raises:
            ArtifactError: There are files that interank did not make.
        """
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise ArtifactError(f"{self.folder}, where {self.out} is made, is no folder; move it away")
        if not self.folder.exists():
            return
        if foreign := self.foreign:
            raise ArtifactError(
                f"{self.folder}, where {self.out} is made, holds {foreign[0]}, which this version of interank did not "
                "make; move the folder away, or remove it"
            )
        if self.begun is None or (not self.output.exists() and is_taken(self.out)):
            self.discard()

    def begin(self, begun: dict[str, Any] | None = None) -> None:
        """Make the folders and then write `begun`; without it the caller has to call `write_begun`.

        Raises:
            ArtifactError: The folders cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.output.mkdir(exist_ok=True)
            self.work.mkdir(exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.out} cannot be made: {error.strerror}; give another --out") from None
        if begun is not None:
            self.write_begun(begun)

    def write_begun(self, begun: dict[str, Any]) -> None:
        """Write the recipe and inputs of the output, which marks it as begun."""
        write_whole(self.work / _BEGUN, json.dumps(begun, indent=2, ensure_ascii=False) + "\n")

    def empty_output(self) -> None:
        """Remove an earlier try's files of the output; the folder stays, since a missing one means it was moved."""
        self.output.mkdir(exist_ok=True)
        for path in self.output.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def hand_out(self) -> None:
        """Move the output into its place, and only then remove the rest; can be repeated after a kill at any step.

        Raises:
            ArtifactError: The place was taken meanwhile by something that may not be replaced; the output is kept.
        """
        if is_taken(self.out):
            check_replaceable(self.out)
            if self.replaced.exists():
                shutil.rmtree(self.replaced)
            self.out.rename(self.replaced)
        self.output.rename(self.out)
        self.discard()

    def discard(self) -> None:
        """Remove the folder with all its files; an output that was to be replaced is moved back to its place."""
        if not self.folder.exists():
            return
        if self.replaced.exists() and not is_taken(self.out):
            self.replaced.rename(self.out)
        # First, so that a half-removed folder is not resumed.
        (self.work / _BEGUN).unlink(missing_ok=True)
        shutil.rmtree(self.folder)


def check_free(out: Path, partial: Partial) -> None:
    """Refuse a place with a finished or unfinished output.

    Raises:
        ArtifactError: There is one; the message names it and the three ways out.
    """
    hint = "--resume goes on with it, --overwrite replaces it, another --out leaves it alone"
    if is_taken(partial.out):
        check_replaceable(partial.out)
        raise ArtifactError(f"{out} exists; {hint}")
    if partial.is_unfinished:
        raise ArtifactError(f"{partial.folder} is an unfinished output; {hint}")


def check_file(option: str, out: Path, *, ours: Callable[[Path], bool], read: Iterable[Path] = ()) -> None:
    """Refuse an output file that cannot be written, is an input, or has content that the command did not write.

    Args:
        option: The option that names the file, as `--json`.
        out: The file.
        ours: Tells whether the command wrote a file's content.
        read: Files that the output is made from.

    Raises:
        InputError: It is such a file; the message says why.
    """
    if not out.resolve().parent.is_dir():
        raise InputError(f"{option} {out}: its folder does not exist; make it first")
    if out.is_dir():
        raise InputError(f"{option} {out} is a folder, where a file is needed; name a file")
    for path in read:
        if path.resolve() == out.resolve():
            raise InputError(f"{option} {out} is an input and would be lost; name another file")
    # A device, as /dev/stdout, loses nothing.
    if out.is_file() and out.stat().st_size and not ours(out):
        raise InputError(f"{option} {out} holds what this command did not write; name another file, or remove it")


def holds_json(path: Path, *keys: str) -> bool:
    """Whether a file is JSON or JSONL whose first object has these keys."""
    with path.open("rb") as stream:
        content = stream.readline()
        if content.strip() == b"{":
            content += stream.read()
    try:
        value = json.loads(content)
    except ValueError:
        return False
    return isinstance(value, dict) and set(keys) <= value.keys()


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file in a block, atomically: after a failure or a kill it has its old content."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    with ExitStack() as failed:
        failed.callback(unfinished.unlink, missing_ok=True)
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(path)
        failed.pop_all()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically, as `writing`; a link stays, and its target is written."""
    with writing(path) as stream:
        stream.write(content if isinstance(content, bytes) else content.encode("utf-8"))


def check_same(
    path: Path,
    begun: tuple[Any, Any],
    wanted: tuple[Mapping[str, Any], Mapping[str, Any]],
    free: Collection[str],
) -> None:
    """Compare the recipe and inputs with which an output was begun with those of this command.

    Raises:
        ArtifactError: They differ by more than the recipe's free keys.
    """
    begun_recipe, wanted_recipe = _without(begun[0], free), _without(wanted[0], free)
    begun_inputs, wanted_inputs = begun[1], json.loads(pretty(wanted[1]))
    differing = sorted(
        key for key in {*begun_recipe, *wanted_recipe} if begun_recipe.get(key) != wanted_recipe.get(key)
    )
    differing += sorted(
        f"the contents of {key}"
        for key in {*begun_inputs, *wanted_inputs}
        if begun_inputs.get(key, {}).get("digest") != wanted_inputs.get(key, {}).get("digest") and key not in differing
    )
    if former := sorted(RENAMED_KEYS.keys() & _keys(begun_recipe)):
        raise ArtifactError(
            f"{path} was begun with another recipe or input: an earlier version wrote it, whose recipes had "
            f"{', '.join(f'`{key}`, which is now `{RENAMED_KEYS[key]}`' for key in former)}; "
            "--overwrite it, or choose another --out"
        )
    if differing:
        raise ArtifactError(
            f"{path} was begun with another recipe or input ({', '.join(differing)} differ); "
            "give the same ones, --overwrite it, or choose another --out"
        )


def _keys(recipe: Mapping[str, Any]) -> set[str]:
    """The keys of a recipe, with those of a pipeline's stages."""
    return {*recipe, *(key for stage in (recipe.get("stages") or {}).values() for key in stage or ())}


def _without(recipe: Mapping[str, Any], free: Collection[str]) -> dict[str, Any]:
    """A copy of the recipe without the free keys."""
    copy: dict[str, Any] = json.loads(pretty(recipe))
    for name in free:
        section: Any = copy
        *above, last = name.split(".")
        for key in above:
            section = section.get(key) or {}
        section.pop(last, None)
    return copy


def pretty(content: Any) -> str:
    """JSON with indentation and a final line break."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
