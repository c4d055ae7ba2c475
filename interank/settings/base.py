"""The base class of all recipe sections, and the types of their paths and lists of names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from interank.errors import InputError
from interank.resources import expanded, resource_dir


def as_path(value: Any) -> Any:
    """Read a path; a `data/...` that does not exist here is the sample data that comes with interank."""
    if isinstance(value, bool):
        raise ValueError(
            f"found {str(value).lower()}, which is also what YAML makes of a bare no, off, yes or on; for a path of "
            "that name write ./no"
        )
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        return value
    try:
        path = expanded(value)
    except InputError as error:
        raise ValueError(str(error)) from None
    if path.parts[:1] == ("data",) and not path.exists():
        bundled = resource_dir("data").joinpath(*path.parts[1:])
        return bundled if bundled.exists() else path
    return path


def as_tuple(value: Any) -> Any:
    """Turn a list, or the command line's `A,B`, into a tuple."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part]
    return tuple(value) if isinstance(value, list) else value


FilePath = Annotated[Path, BeforeValidator(as_path)]
FilePaths = Annotated[tuple[FilePath, ...], BeforeValidator(as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class Settings(BaseModel):
    """Base of every section: unknown keys are refused, values are frozen, docstrings describe the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Section = TypeVar("Section", bound=Settings)


def checked(section: type[Section], keys: Any, name: str) -> Section | None:
    """Validate as `validated` does, and return None for None.

    Raises:
        InputError: As `validated`.
    """
    return None if keys is None else validated(section, keys, name)


def validated(section: type[Section], keys: Any, name: str) -> Section:
    """Make a section from its keys; a section is returned as it is. Error messages begin with `name`.

    Raises:
        InputError: A key is unknown, or its value cannot be used.
    """
    try:
        return section.model_validate(keys)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"{name}: {where}{': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
        ) from None
