"""Names of tasks: their spelling, and suggestions for a wrong one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from interank.errors import InputError
from interank.wording import listed


def task_name(name: str) -> str:
    """A task's name as BRIGHT spells it: `sustainable_living`, not `sustainable-living`."""
    return name.replace("-", "_")


def chosen_names(where: object, wanted: Iterable[str], available: Collection[str]) -> list[str]:
    """The wanted names, each once and spelled as in `available`; all that are available if none is wanted.

    Raises:
        InputError: A name is not available.
    """
    spellings = {task_name(name).casefold(): name for name in available}
    chosen = []
    for name in wanted:
        spelling = spellings.get(task_name(name).casefold())
        if spelling is None:
            raise InputError(f"{where} has no task {name!r}; {_alternatives(name, available)}")
        chosen.append(spelling)
    return list(dict.fromkeys(chosen)) or list(available)


def _alternatives(name: str, available: Collection[str]) -> str:
    near = get_close_matches(task_name(name), available, n=3)
    every = listed(available) if available else "no task at all"
    return f"did you mean {listed(near, last='or')}? It has {every}" if near else f"name one that it has: {every}"


# The zip files that BEIR's authors publish, in lower case.
_BEIR = (
    "arguana", "climate-fever", "cqadupstack", "dbpedia-entity", "fever", "fiqa", "hotpotqa", "msmarco", "nfcorpus",
    "nq", "quora", "scidocs", "scifact", "trec-covid", "webis-touche2020",
)  # fmt: skip


def where_to_get(name: str) -> str:
    """A clause on where to download a benchmark of this name, with a final blank; empty if that is not known."""
    known = name.lower()
    if known not in _BEIR:
        return ""
    address = f"https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/{known}.zip"
    return f"BEIR publishes it as {address}, which unpacks to this folder; fetch it, or "
