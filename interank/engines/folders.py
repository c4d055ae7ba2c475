"""Decides whether a model's name is a folder on this disk or a name on the hub."""

from __future__ import annotations

from pathlib import Path

from interank.errors import ModelError
from interank.resources import expanded


def model_folder(name: str) -> Path | None:
    """The model folder that a name is; None if it may be a name on the hub.

    Raises:
        ModelError: It is a path without a model.
    """
    path = expanded(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} has no config.json, so it is no model folder; give one, or a hub name")
        return path
    if path.is_file():
        raise ModelError(f"{path} is a file, and a model is a folder; give a folder, or a hub name")
    if name.startswith((".", "/", "~")):
        raise ModelError(f"the model folder {path} does not exist; give a folder that does, or a hub name")
    return None
