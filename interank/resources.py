"""Where `recipes/`, `rewards/` and `data/` are: bundled in the wheel, else beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from interank.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The folder `name`, wherever this installation keeps it.

    Raises:
        InputError: Neither the wheel nor the checkout has such a folder.
    """
    for folder in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InputError(f"this installation of interank has no folder {name!r}; reinstall the package")
