"""Names of tasks: how they are spelled, and which was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from interank.errors import InputError


def task_name(name: str) -> str:
    """A task's name as BRIGHT spells it: `sustainable_living`, not `sustainable-living`."""
    return name.replace("-", "_")


def chosen_names(where: object, wanted: Iterable[str], there: Collection[str]) -> list[str]:
    """The wanted names, each once and spelled as `there`; all of `there` if none is wanted.

    Raises:
        InputError: A name is not there.
    """
    spelled = {task_name(name).casefold(): name for name in there}
    chosen = []
    for name in wanted:
        found = spelled.get(task_name(name).casefold())
        if found is None:
            raise InputError(
                f"{where}: found no task {name!r}; expected {_alternatives(name, there)}; name one of these"
            )
        chosen.append(found)
    return list(dict.fromkeys(chosen)) or list(there)


def _alternatives(name: str, there: Collection[str]) -> str:
    near = get_close_matches(task_name(name), there, n=3)
    every = ", ".join(there) or "(none)"
    return f"{' or '.join(near)} (there are {every})" if near else every
