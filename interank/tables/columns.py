"""The roles of a table's columns, guessed by name or given by the user; one error names all faults."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from interank.errors import InputError
from interank.tables import values
from interank.tables.reading import Table

# Rows that are read to list a table's columns.
_LOOKED_AT = 100
_PARTING = re.compile(r"[^0-9a-z]+")


class Role(NamedTuple):
    """A role that a column may have, with the column names that mean it, the surest first."""

    name: str
    about: str
    names: tuple[str, ...]
    required: bool = False
    joins: bool = False
    """Whether the text may be joined from several columns."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table by role."""

    of: Mapping[str, str]
    """The column of each role that has one."""
    told: frozenset[str] = frozenset()
    """The roles whose columns the user gave; the others are guessed."""
    unused: tuple[str, ...] = ()
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns of each role whose text is joined from several."""

    def value(self, row: Mapping[str, Any], role: str) -> Any:
        """A row's value in the column of a role; None if there is none. Several columns are joined, a line each.

        Raises:
            ValueError: One of several columns holds no text.
        """
        if role in self.joined:
            cells = [row.get(name) for name in self.joined[role]]
            texts = [values.text(cell).strip() for cell in cells if not values.is_missing(cell)]
            return "\n".join(filter(None, texts)) or None
        column = self.of.get(role)
        return None if column is None else row.get(column)


def first_rows(tables: Iterable[Table]) -> list[Mapping[str, Any]]:
    """The first readable rows of the tables."""
    readable = (row.values for table in tables for row in table.rows() if not isinstance(row.values, ValueError))
    return list(islice(readable, _LOOKED_AT))


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The column names of the rows, each once."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def named_as_roles(mapping: Mapping[str, str], roles: Iterable[Role]) -> dict[str, str]:
    """The mapping by role, with a column name that means one role replaced by that role."""
    listed = list(roles)
    known = {role.name for role in listed}
    by_role: dict[str, str] = {}
    for name, column in mapping.items():
        meant = [role.name for role in listed if _plain(name) in role.names]
        role = meant[0] if name not in known and len(meant) == 1 and meant[0] not in mapping else name
        by_role[name if role in by_role else role] = column
    return by_role


def assign(where: str, names: Sequence[str], roles: Sequence[Role], mapping: Mapping[str, str]) -> Columns:
    """Assign a column to each role: the mapped one, else the first of its names that no other role has.

    Args:
        where: The table, for messages.
        names: The names of its columns.
        roles: The roles; an earlier one chooses first.
        mapping: Columns by role, or by a column name that means a role. An empty column means that there is none, and
            `A+B` joins a text from two.

    Raises:
        InputError: The message names all faults, and the columns of the table.
    """
    mapping = named_as_roles(mapping, roles)
    known = [role.name for role in roles]
    faults = [_unknown(role, known) for role in mapping if role not in known]
    joins = {role.name for role in roles if role.joins}
    joined = {role: parts for role, name in mapping.items() if role in joins and (parts := _parts(name, names))}
    absent = [(role, name) for role, name in mapping.items() if name and name not in names and role not in joined]
    faults += [_absent(role, name, names, joins=role in joins) for role, name in absent]
    of = {role: name for role, name in mapping.items() if name}
    taken = {*of.values(), *(name for parts in joined.values() for name in parts)}
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(_plain(name), name)
    for role in roles:
        if role.name not in mapping:
            candidates = (spelled.get(name) for name in role.names)
            if chosen := next((name for name in candidates if name is not None and name not in taken), None):
                of[role.name] = chosen
                taken.add(chosen)
        if role.required and not of.get(role.name):
            faults.append(f"no column for {role.name} ({role.about}); name it with --map {role.name}=COLUMN")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        columns = f"its columns, {', '.join(names)}," if names else "its columns, of which there are none,"
        raise InputError(f"{where}: {columns} cannot be read as asked:{listed}")
    ordered = {role.name: of[role.name] for role in roles if role.name in of}
    return Columns(ordered, frozenset(mapping), tuple(name for name in names if name not in taken), joined)


def _parts(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that `A+B` joins; empty if the name is one column, or a part is not a column."""
    parts = tuple(part.strip() for part in name.split("+"))
    return parts if name not in names and len(parts) > 1 and all(part in names for part in parts) else ()


def _plain(name: str) -> str:
    return _PARTING.sub("_", name.lower()).strip("_")


def _unknown(role: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(role, known, 1)
    hint = f"; do you mean {near[0]}?" if near else ""
    return f"--map {role}=: there is no {role} to map; roles are {', '.join(known)}{hint}"


def _absent(role: str, name: str, names: Sequence[str], *, joins: bool) -> str:
    parts = [part.strip() for part in name.split("+")]
    if len(parts) > 1 and all(part in names for part in parts):
        return f"--map {role}={name}: several columns can be joined to a text, and {role} is no text; name one column"
    if len(parts) > 1 and joins:
        name = next(part for part in parts if part not in names)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; do you mean {near[0]!r}?" if near else ""
    return f"--map {role}={name}: there is no column {name!r}{hint}"
