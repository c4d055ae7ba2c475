"""Rows of tables read strictly: the first one that cannot be used is told with its place and a row that was read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from interank import plain_data
from interank.errors import InputError
from interank.tables import Table, values
from interank.tables.columns import Columns

Value = TypeVar("Value")

_LONGEST_SHOWN = 160


@dataclass(slots=True)
class Rows:
    """The rows of tables that have the same columns."""

    tables: Sequence[Table]
    columns: Columns
    example: Mapping[str, Any]
    """A row as it should be, shown where none was read yet."""
    sample: Mapping[str, Any] | None = field(default=None)
    """The first row as it was read."""

    def __iter__(self) -> Iterator[Cells]:
        for table in self.tables:
            for row in table.rows():
                where = table.where(row.number)
                if isinstance(row.values, ValueError):
                    raise self.fault(where, str(row.values))
                yield Cells(self, where, row.values, self.columns)

    def read_right(self, shown: Mapping[str, Any]) -> None:
        """Keep the first row that was read, as it was read."""
        if self.sample is None:
            self.sample = dict(shown)

    def fault(self, where: str, told: str) -> InputError:
        """The error of a row."""
        right = (
            f"a row without fault is read as {shown(self.sample)}"
            if self.sample
            else f"a right row is {shown(self.example)}"
        )
        return InputError(f"{where}: {told}; mend or remove the row, or map another column with --map\n  {right}")


@dataclass(frozen=True, slots=True)
class Cells:
    """A row by its roles."""

    rows: Rows
    where: str
    values: Mapping[str, Any]
    columns: Columns

    def read(self, role: str, read: Callable[[Any], Value]) -> Value | None:
        """What a role's column says; None where it says nothing or there is none.

        Raises:
            InputError: It says what cannot be.
        """
        try:
            value = self.columns.value(self.values, role)
            return None if values.is_missing(value) else read(value)
        except ValueError as fault:
            raise self.rows.fault(self.where, f"{self.columns.of[role]}: {fault}") from None

    def text(self, role: str) -> str:
        """A text; empty where there is none."""
        return (self.read(role, values.text) or "").strip()

    def identifier(self, role: str) -> str | None:
        """An id; None where there is none."""
        return self.read(role, _identifier)

    def fault(self, told: str) -> InputError:
        """The error of this row."""
        return self.rows.fault(self.where, told)

    def inner(self, inner: Mapping[str, Any], columns: Columns) -> Cells:
        """An object in the row, as a row of its own."""
        return Cells(self.rows, self.where, inner, columns)


def _identifier(value: Any) -> str | None:
    # A ticket's "#7"; in files of qrels the sign begins a comment.
    bare = value.strip().lstrip("#") if isinstance(value, str) else value
    return None if bare == "" else values.identifier(bare)


def shown(row: Mapping[str, Any] | None) -> str:
    """A row for a message, its texts cut."""
    return json.dumps(_cut(row), ensure_ascii=False)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return plain_data.writable(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")
    if isinstance(value, Mapping):
        return {name: _cut(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(part) for part in value]
    return value
