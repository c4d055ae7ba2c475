"""Checks the versions of optional packages."""

from __future__ import annotations

from importlib import metadata

from packaging.version import Version

from interank.errors import InputError


def require(package: str, works: str, extra: str) -> None:
    """Check that a package is installed and not older than the oldest tested version.

    Args:
        package: Its name on the package index.
        works: The oldest version with which interank's tests pass.
        extra: The extra of interank that installs it.

    Raises:
        InputError: It is missing or older; the message names both versions.
    """
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise InputError(f"{package} is not installed; pip install 'interank[{extra}]'") from None
    if Version(version) < Version(works):
        raise InputError(
            f"found {package} {version}, but interank needs {works} or later; pip install '{package}>={works}'"
        )
