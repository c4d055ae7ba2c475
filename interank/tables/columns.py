"""Which column of a table holds what: guessed by its name, or told; all that is wrong with them is said at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from interank.errors import InputError
from interank.tables.reading import Table

# So many rows are looked at for their columns.
_LOOKED_AT = 100
_PARTING = re.compile(r"[^0-9a-z]+")


class Role(NamedTuple):
    """What a column may hold, and the names by which it is recognised, the surest first."""

    name: str
    about: str
    names: tuple[str, ...]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of each role that has one."""

    of: Mapping[str, str]
    told: frozenset[str] = frozenset()
    """The roles whose columns were told, not guessed."""
    unused: tuple[str, ...] = ()

    def value(self, row: Mapping[str, Any], role: str) -> Any:
        """What a row has in the column of a role; None where there is none."""
        column = self.of.get(role)
        return None if column is None else row.get(column)


def first_rows(tables: Iterable[Table]) -> list[Mapping[str, Any]]:
    """The first rows that can be read."""
    sound = (row.values for table in tables for row in table.rows() if not isinstance(row.values, ValueError))
    return list(islice(sound, _LOOKED_AT))


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of these rows, each once."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def assign(where: str, found: Sequence[str], roles: Sequence[Role], told: Mapping[str, str]) -> Columns:
    """The column of each role: what is told, then the first of its names that no other role has.

    Args:
        where: The table, for messages.
        found: Its columns.
        roles: What is looked for; an earlier one chooses first.
        told: Columns by role; an empty name says that there is none.

    Raises:
        InputError: Says all that is wrong, with the columns that there are.
    """
    faults = [_unknown(role, [known.name for known in roles]) for role in told if role not in {r.name for r in roles}]
    faults += [_absent(role, name, found) for role, name in told.items() if name and name not in found]
    of = {role: name for role, name in told.items() if name}
    spelled: dict[str, str] = {}
    for name in found:
        spelled.setdefault(_plain(name), name)
    for role in roles:
        if role.name not in told:
            names = (spelled.get(name) for name in role.names)
            if chosen := next((name for name in names if name is not None and name not in of.values()), None):
                of[role.name] = chosen
        if role.required and not of.get(role.name):
            faults.append(f"no column for {role.name} ({role.about}); name it with --map {role.name}=COLUMN")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        columns = f"its columns, {', '.join(found)}," if found else "its columns, of which there are none,"
        raise InputError(f"{where}: {columns} cannot be read as asked:{listed}")
    ordered = {role.name: of[role.name] for role in roles if role.name in of}
    return Columns(ordered, frozenset(told), tuple(name for name in found if name not in ordered.values()))


def _plain(name: str) -> str:
    return _PARTING.sub("_", name.lower()).strip("_")


def _unknown(role: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(role, known, 1)
    hint = f"; do you mean {near[0]}?" if near else ""
    return f"--map {role}=: there is no {role} to map; expected one of {', '.join(known)}{hint}"


def _absent(role: str, name: str, found: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, found, 1)
    hint = f"; do you mean {near[0]!r}?" if near else ""
    return f"--map {role}={name}: there is no column {name!r}{hint}"
