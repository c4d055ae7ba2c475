"""What every section of a recipe is made of: strict, frozen models, paths and lists of names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from interank.errors import InputError
from interank.resources import expanded, resource_dir


def as_path(value: Any) -> Any:
    """A path; `data/...`, where there is no such thing here, is the sample data that comes with interank."""
    if isinstance(value, bool):
        raise ValueError(
            f"{str(value).lower()} was found, as YAML reads a bare no, off, yes or on too; for a path of that name "
            "write ./no"
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
    """Lists, and from the command line `A,B`."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part]
    return tuple(value) if isinstance(value, list) else value


FilePath = Annotated[Path, BeforeValidator(as_path)]
FilePaths = Annotated[tuple[FilePath, ...], BeforeValidator(as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class Settings(BaseModel):
    """Base of every section: unknown keys are faults, values do not change, docstrings describe fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Section = TypeVar("Section", bound=Settings)


def checked(section: type[Section], given: Any, name: str) -> Section | None:
    """As `validated`, and None from None.

    Raises:
        InputError: As of it.
    """
    return None if given is None else validated(section, given, name)


def validated(section: type[Section], given: Any, name: str) -> Section:
    """A section from itself or its keys; `name` is what it is called where it was given.

    Raises:
        InputError: A key is unknown, or its value cannot be used.
    """
    try:
        return section.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"{name}: {where}{': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
        ) from None
