"""Recipes that others wrote: which variables of the environment they may send, and what of their values is shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from interank import plain_data

_OWN = ("OPENAI_API_KEY",)
_OWN_PREFIX = "INTERANK_"
_SECRET = re.compile(r"(?:^|[._])(?:key|token|password|secret)$", re.I)


def foreign_keys(data: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """Faults of a recipe's file that names variables of the environment which are not interank's to send.

    Args:
        data: What the file holds.
        given: The keys that the command line sets; whoever gives a variable there means it.
    """
    return [
        f"{place}: {plain_data.shown(value)} was found in the file; it may name OPENAI_API_KEY or a variable that "
        f"begins with {_OWN_PREFIX}, since what it names is sent to the recipe's servers; if you mean it, give "
        f"{place}=NAME on the command line"
        for place, value in _server_keys(data, "")
        if isinstance(value, str)
        and value not in _OWN
        and not value.startswith(_OWN_PREFIX)
        and place not in given
        and place.removeprefix("stages.") not in given
    ]


def _server_keys(data: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The values of `key` in every section that names servers, and in every one called `server`."""
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
    """A value for a message, short however long it is, and not at all where its key says that it is secret."""
    return "a value that is not shown" if _SECRET.search(place) else plain_data.shown(value)
