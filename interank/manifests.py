"""Validates manifests before use, since other programs may have written or damaged them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from interank import plain_data
from interank.errors import ArtifactError
from interank.resources import is_impossible

# The types of optional entries.
_FORMS: Mapping[str, type | UnionType] = {
    "modes": list | None,
    "prompt": dict | None,
    "task": str | None,
    "prompt_hash": str | None,
    "counts": dict | None,
    "notes": list | None,
}


class Manifest(dict[str, Any]):
    """A manifest's content; looking up a missing key raises an `ArtifactError` that names file and key."""

    def __init__(self, content: Mapping[str, Any], file: Path) -> None:
        super().__init__(content)
        self.file = file

    def __missing__(self, key: str) -> Any:
        raise ArtifactError(f"{self.file} lacks {key}; make the artifact anew")


def fault(manifest: Mapping[str, Any], kinds: Collection[str]) -> str:
    """Describe the first malformed entry of a manifest; empty if there is none.

    Args:
        manifest: A manifest with kind, files and inputs.
        kinds: All kinds of artifacts.
    """
    kind, files, inputs = (manifest[name] for name in ("kind", "files", "inputs"))
    if kind not in kinds:
        return f"its kind is {plain_data.shown(kind)}"
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        return f"files is {plain_data.shown(files)}, where digests by name are needed"
    if (outside := next((name for name in files if _is_outside(name)), None)) is not None:
        return f"it names the file {plain_data.shown(outside)}, which cannot be in its folder"
    if odd := next((key for key, kind in _FORMS.items() if not isinstance(manifest.get(key), kind)), None):
        return f"{odd} is {plain_data.shown(manifest[odd])}, which no stage writes"
    if not all(isinstance(mode, str) for mode in manifest.get("modes") or ()):
        return f"modes is {plain_data.shown(manifest['modes'])}, where names are needed"
    for each in inputs.values() if isinstance(inputs, dict) else [inputs]:
        if not isinstance(each, dict) or not all(isinstance(each.get(key), str) for key in ("kind", "path")):
            return f"an input is {plain_data.shown(each)}, where its kind and path are needed"
        if is_impossible(each["path"]):
            return f"an input is at {plain_data.shown(each['path'])}, which no file system takes"
    return ""


def _is_outside(name: str) -> bool:
    return not name or is_impossible(name) or Path(name).is_absolute() or ".." in Path(name).parts
