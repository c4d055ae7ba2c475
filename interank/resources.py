"""Where things are: `recipes/`, `rewards/` and `data/`, in the wheel or a checkout, and what `~` and `@` mean."""

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


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` written out.

    Raises:
        InputError: There is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no user {Path(path).parts[0][1:]!r} on this machine; write the folder out"
        ) from None


def hub_name(name: str) -> tuple[str, str | None]:
    """A repository's name on the hub, and the branch, tag or commit behind its `@`; a path is a name as it is."""
    repo, at, revision = name.partition("@")
    if not at or name.startswith((".", "/", "~")) or Path(name).exists():
        return name, None
    return repo, revision
