"""Which column of a table holds what: guessed by its name, or told; all that is wrong with them is said at once."""

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

# So many rows are looked at for their columns.
_LOOKED_AT = 100
_PARTING = re.compile(r"[^0-9a-z]+")


class Role(NamedTuple):
    """What a column may hold, and the names by which it is recognised, the surest first."""

    name: str
    about: str
    names: tuple[str, ...]
    required: bool = False
    joins: bool = False
    """Whether it is a text that may be put together from several columns."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of each role that has one."""

    of: Mapping[str, str]
    told: frozenset[str] = frozenset()
    """The roles whose columns were told, not guessed."""
    unused: tuple[str, ...] = ()
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns of each role whose text is put together from several."""

    def value(self, row: Mapping[str, Any], role: str) -> Any:
        """What a row has in the column of a role; None where there is none. Several columns give a line each.

        Raises:
            ValueError: One of several holds no text.
        """
        if role in self.joined:
            cells = [row.get(name) for name in self.joined[role]]
            texts = [values.text(cell).strip() for cell in cells if not values.is_missing(cell)]
            return "\n".join(filter(None, texts)) or None
        column = self.of.get(role)
        return None if column is None else row.get(column)


def first_rows(tables: Iterable[Table]) -> list[Mapping[str, Any]]:
    """The first rows that can be read."""
    sound = (row.values for table in tables for row in table.rows() if not isinstance(row.values, ValueError))
    return list(islice(sound, _LOOKED_AT))


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of these rows, each once."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def named_as_roles(told: Mapping[str, str], roles: Iterable[Role]) -> dict[str, str]:
    """What is told, by role, where it was told by a name under which a role's column is looked for."""
    listed = list(roles)
    known = {role.name for role in listed}
    found: dict[str, str] = {}
    for name, column in told.items():
        meant = [role.name for role in listed if _plain(name) in role.names]
        role = meant[0] if name not in known and len(meant) == 1 and meant[0] not in told else name
        found[name if role in found else role] = column
    return found


def assign(where: str, found: Sequence[str], roles: Sequence[Role], told: Mapping[str, str]) -> Columns:
    """The column of each role: what is told, then the first of its names that no other role has.

    Args:
        where: The table, for messages.
        found: Its columns.
        roles: What is looked for; an earlier one chooses first.
        told: Columns by role, or by a name that a role's column may have; an empty column says that there is none,
            and `A+B` puts a text together from two.

    Raises:
        InputError: Says all that is wrong, with the columns that there are.
    """
    told = named_as_roles(told, roles)
    faults = [_unknown(role, [known.name for known in roles]) for role in told if role not in {r.name for r in roles}]
    joins = {role.name for role in roles if role.joins}
    joined = {role: parts for role, name in told.items() if role in joins and (parts := _parts(name, found))}
    absent = [(role, name) for role, name in told.items() if name and name not in found and role not in joined]
    faults += [_absent(role, name, found, joins=role in joins) for role, name in absent]
    of = {role: name for role, name in told.items() if name}
    taken = {*of.values(), *(name for parts in joined.values() for name in parts)}
    spelled: dict[str, str] = {}
    for name in found:
        spelled.setdefault(_plain(name), name)
    for role in roles:
        if role.name not in told:
            names = (spelled.get(name) for name in role.names)
            if chosen := next((name for name in names if name is not None and name not in taken), None):
                of[role.name] = chosen
                taken.add(chosen)
        if role.required and not of.get(role.name):
            faults.append(f"no column for {role.name} ({role.about}); name it with --map {role.name}=COLUMN")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        columns = f"its columns, {', '.join(found)}," if found else "its columns, of which there are none,"
        raise InputError(f"{where}: {columns} cannot be read as asked:{listed}")
    ordered = {role.name: of[role.name] for role in roles if role.name in of}
    return Columns(ordered, frozenset(told), tuple(name for name in found if name not in taken), joined)


def _parts(name: str, found: Sequence[str]) -> tuple[str, ...]:
    """The columns that a name puts together; none where it is one column, or one of them is not there."""
    parts = tuple(part.strip() for part in name.split("+"))
    return parts if name not in found and len(parts) > 1 and all(part in found for part in parts) else ()


def _plain(name: str) -> str:
    return _PARTING.sub("_", name.lower()).strip("_")


def _unknown(role: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(role, known, 1)
    hint = f"; do you mean {near[0]}?" if near else ""
    return f"--map {role}=: there is no {role} to map; roles are {', '.join(known)}{hint}"


def _absent(role: str, name: str, found: Sequence[str], *, joins: bool) -> str:
    parts = [part.strip() for part in name.split("+")]
    if len(parts) > 1 and all(part in found for part in parts):
        return f"--map {role}={name}: several columns can be put together to a text, and {role} is none; name one"
    if len(parts) > 1 and joins:
        name = next(part for part in parts if part not in found)
    near = difflib.get_close_matches(name, found, 1)
    hint = f"; do you mean {near[0]!r}?" if near else ""
    return f"--map {role}={name}: there is no column {name!r}{hint}"
