"""Strict reading of table rows: the first unusable row is an error with its place and a correct row for comparison."""

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
    """A correct row, shown in errors as long as none was read."""
    sample: Mapping[str, Any] | None = field(default=None)
    """The first row, as it was interpreted."""

    def __iter__(self) -> Iterator[Cells]:
        for table in self.tables:
            for row in table.rows():
                where = table.where(row.number)
                if isinstance(row.values, ValueError):
                    raise self.fault(where, str(row.values))
                yield Cells(self, where, row.values, self.columns)

    def keep_sample(self, row: Mapping[str, Any]) -> None:
        """Keep the first row as a sample."""
        if self.sample is None:
            self.sample = dict(row)

    def fault(self, where: str, reason: str) -> InputError:
        """The error of an unusable row."""
        correct = (
            f"a correct row was read as {shown(self.sample)}"
            if self.sample
            else f"a correct row is {shown(self.example)}"
        )
        return InputError(f"{where}: {reason}; mend or remove the row, or map another column with --map\n  {correct}")


@dataclass(frozen=True, slots=True)
class Cells:
    """A row's values by role."""

    rows: Rows
    where: str
    values: Mapping[str, Any]
    columns: Columns

    def read(self, role: str, read: Callable[[Any], Value]) -> Value | None:
        """The value of a role's column, converted by `read`; None if it is missing or there is no column.

        Raises:
            InputError: The value cannot be converted.
        """
        try:
            value = self.columns.value(self.values, role)
            return None if values.is_missing(value) else read(value)
        except ValueError as fault:
            raise self.rows.fault(self.where, f"{self.columns.of[role]}: {fault}") from None

    def text(self, role: str) -> str:
        """The text of a role's column; empty if there is none."""
        return (self.read(role, values.text) or "").strip()

    def identifier(self, role: str) -> str | None:
        """The id in a role's column; None if there is none."""
        return self.read(role, _identifier)

    def fault(self, reason: str) -> InputError:
        """The error of this row."""
        return self.rows.fault(self.where, reason)

    def inner(self, inner: Mapping[str, Any], columns: Columns) -> Cells:
        """An object within the row, as a row of its own."""
        return Cells(self.rows, self.where, inner, columns)


def _identifier(value: Any) -> str | None:
    # Tickets are often numbered "#7", but in qrels files # begins a comment.
    bare = value.strip().lstrip("#") if isinstance(value, str) else value
    return None if bare == "" else values.identifier(bare)


def shown(row: Mapping[str, Any] | None) -> str:
    """A row for a message, with its texts shortened."""
    return json.dumps(_cut(row), ensure_ascii=False)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return plain_data.writable(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")
    if isinstance(value, Mapping):
        return {name: _cut(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(part) for part in value]
    return value
