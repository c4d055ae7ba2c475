"""Finds `recipes/`, `rewards/` and `data/` in the wheel or a checkout, and reads `~` in paths and `@` in names."""

from __future__ import annotations

from pathlib import Path

from interank.errors import InputError

STARTER = "starter"
"""The name of the judge that comes with interank."""

# In bytes, on all common file systems.
_LONGEST_PART = 255
_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The installation's folder `name`.

    Raises:
        InputError: Neither the wheel nor the checkout has such a folder.
    """
    for folder in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InputError(f"this installation of interank has no folder {name!r}; reinstall the package")


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` expanded; `starter` is the judge in `data/`, unless a file of that name is here.

    Raises:
        InputError: There is no such user, or no file system accepts the name.
    """
    if is_impossible(str(path)):
        raise InputError(
            f"the path {str(path)[:60]!r} holds a NUL, or a part of more than {_LONGEST_PART} bytes, which "
            "no file system accepts; give another"
        )
    if str(path) == STARTER and not Path(path).exists():
        return resource_dir("data") / STARTER
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no user {Path(path).parts[0][1:]!r} on this machine; give the folder's full path"
        ) from None


def is_impossible(path: str) -> bool:
    """Whether no file system accepts the path, so that even testing for it raises."""
    return "\0" in path or any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART for part in path.split("/"))


def hub_name(name: str) -> tuple[str, str | None]:
    """Split a hub name into repository and the branch, tag or commit after `@`; a path is returned whole."""
    repo, at, revision = name.partition("@")
    if not at or name.startswith((".", "/", "~")) or Path(name).exists():
        return name, None
    return repo, revision
