"""What other packages' versions have to be, and what is said where one is too old or not there."""

from __future__ import annotations

from importlib import metadata

from packaging.version import Version

from interank.errors import InputError


def require(package: str, works: str, extra: str) -> None:
    """Stop where a package is older than the oldest version that its tests pass with.

    Args:
        package: Its name on the package index.
        works: That version.
        extra: The extra of interank that installs it.

    Raises:
        InputError: Names the version that was found and the one that works.
    """
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise InputError(f"{package} is not installed; pip install 'interank[{extra}]'") from None
    if Version(found) < Version(works):
        raise InputError(
            f"found {package} {found}, and interank works with {works} or later; pip install '{package}>={works}'"
        )
