"""Safety of recipes that others wrote: which environment variables they may send, and which values are shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from interank import plain_data

_OWN = ("OPENAI_API_KEY",)
_OWN_PREFIX = "INTERANK_"
_SECRET = re.compile(r"(?:^|[._])(?:key|token|password|secret)$", re.I)


def foreign_keys(data: Mapping[str, Any], overrides: Collection[str]) -> list[str]:
    """List the places where a recipe's file names an environment variable that it may not send to a server.

    Args:
        data: The content of the file.
        overrides: The keys that the command line sets; a variable named there is allowed.
    """
    return [
        f"{place}: {plain_data.shown(value)} was found in the file; it may name OPENAI_API_KEY or a variable that "
        f"begins with {_OWN_PREFIX}, since the variable's value is sent to the recipe's servers; to send another one, "
        f"give {place}=NAME on the command line"
        for place, value in _server_keys(data, "")
        if isinstance(value, str)
        and value not in _OWN
        and not value.startswith(_OWN_PREFIX)
        and place not in overrides
        and place.removeprefix("stages.") not in overrides
    ]


def _server_keys(data: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Find `key` in every section that has `urls` or is called `server`: its place and value."""
    if isinstance(data, list):
        for number, each in enumerate(data):
            yield from _server_keys(each, f"{place}.{number}".lstrip("."))
    if not isinstance(data, Mapping):
        return
    if "key" in data and ("urls" in data or place.rpartition(".")[2] == "server"):
        yield f"{place}.key".lstrip("."), data["key"]
    for name, each in data.items():
        yield from _server_keys(each, f"{place}.{name}".lstrip("."))


def shown(place: str, value: object) -> str:
    """A value for a message: shortened, and left out if its key names a secret."""
    return "a value that is not shown" if _SECRET.search(place) else plain_data.shown(value)
