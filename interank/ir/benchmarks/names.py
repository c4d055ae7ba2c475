"""Names of tasks: how they are spelled, and which was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from interank.errors import InputError
from interank.wording import listed


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
            raise InputError(f"{where} has no task {name!r}; {_alternatives(name, there)}")
        chosen.append(found)
    return list(dict.fromkeys(chosen)) or list(there)


def _alternatives(name: str, there: Collection[str]) -> str:
    near = get_close_matches(task_name(name), there, n=3)
    every = listed(there) if there else "no task at all"
    return f"did you mean {listed(near, last='or')}? It has {every}" if near else f"name one that it has: {every}"


# The zip files that BEIR's authors give, by the names that people type.
_BEIR = (
    "arguana", "climate-fever", "cqadupstack", "dbpedia-entity", "fever", "fiqa", "hotpotqa", "msmarco", "nfcorpus",
    "nq", "quora", "scidocs", "scifact", "trec-covid", "webis-touche2020",
)  # fmt: skip


def where_to_get(name: str) -> str:
    """Where a benchmark of this name is to be had, if that is known; it ends with a blank then."""
    known = name.lower()
    if known not in _BEIR:
        return ""
    address = f"https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/{known}.zip"
    return f"BEIR gives it as {address}, which unpacks to this folder; get it, or "
