"""Where things are: `recipes/`, `rewards/` and `data/`, in the wheel or a checkout, and what `~` and `@` mean."""

from __future__ import annotations

from pathlib import Path

from interank.errors import InputError

# In bytes, on all common file systems.
_LONGEST_PART = 255
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
        InputError: There is no such user, or no file system takes such a name.
    """
    if is_impossible(str(path)):
        raise InputError(
            f"the path {str(path)[:60]!r} holds a NUL, or a part of more than {_LONGEST_PART} bytes, which "
            "no file system takes; give another"
        )
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no user {Path(path).parts[0][1:]!r} on this machine; write the folder out"
        ) from None


def is_impossible(path: str) -> bool:
    """Whether no file system takes the path, so that even asking for it fails."""
    return "\0" in path or any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART for part in path.split("/"))


def hub_name(name: str) -> tuple[str, str | None]:
    """A repository's name on the hub, and the branch, tag or commit behind its `@`; a path is a name as it is."""
    repo, at, revision = name.partition("@")
    if not at or name.startswith((".", "/", "~")) or Path(name).exists():
        return name, None
    return repo, revision
