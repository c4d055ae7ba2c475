"""Streams the rows of one XML file of a StackExchange dump, as far as it can be read."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

from lxml import etree

from interank.errors import InputError

logger = logging.getLogger(__name__)

_FAULTS_SHOWN = 5

# int() also takes "1_000", " 7 " and digits of other scripts, none of which a dump holds.
_INTEGER = re.compile("-?[0-9]{1,18}")


class BadRowError(Exception):
    """A row that cannot be used; says why."""


class Row(NamedTuple):
    """One `row` element and the line where it ends."""

    line: int
    attributes: Mapping[str, str]

    def text(self, name: str) -> str:
        """The attribute, which may be empty.

        Raises:
            BadRowError: There is none.
        """
        if name not in self.attributes:
            raise BadRowError(f"{name} is missing")
        return self.attributes[name]

    def integer(self, name: str) -> int:
        """The attribute as a number.

        Raises:
            BadRowError: There is none, or it is no integer.
        """
        value = self.text(name)
        if not _INTEGER.fullmatch(value):
            raise BadRowError(f"{name} is {value[:40]!r}, not an integer")
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        """The attribute as a number, or None where there is none.

        Raises:
            BadRowError: It is no integer.
        """
        return self.integer(name) if name in self.attributes else None


class Tally:
    """Counts the rows of one file that are skipped, to warn of them once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._skipped = 0
        self._shown: list[str] = []

    def skip(self, row: Row, fault: BadRowError) -> None:
        """Count the row, and keep the reason if it is among the first."""
        self._skipped += 1
        if len(self._shown) < _FAULTS_SHOWN:
            self._shown.append(f"line {row.line}: {fault}")

    def warn(self) -> None:
        """Log how many rows were skipped, and why the first of them were."""
        if self._skipped:
            more = "; ..." if self._skipped > len(self._shown) else ""
            reasons = "; ".join(self._shown)
            logger.warning("%s: skipped rows: %d (%s%s)", self._path, self._skipped, reasons, more)


def find_table(folder: Path, name: str) -> Path | None:
    """The file of this name in the folder, as it is or gzipped."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the file's rows in constant memory; where it breaks off, warn and keep what stood before.

    Raises:
        InputError: The file declares a document type.
    """
    line = 0
    with _open(path) as file:
        events = etree.iterparse(
            file, events=("end",), tag="row", resolve_entities=False, no_network=True, huge_tree=True
        )
        try:
            for _, element in events:
                _refuse_entities(path, element)
                line = element.sourceline
                yield Row(line, dict(element.attrib))
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except (etree.XMLSyntaxError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            logger.warning(
                "%s: cannot be read on after the row in line %d (%s); what stands before is kept; "
                "if the file was cut short, fetch or unpack it again",
                path,
                line,
                error,
            )


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _refuse_entities(path: Path, element: Any) -> None:
    # Asking for an attribute expands its entities, however deeply they nest, whatever the parser was told.
    if element.getroottree().docinfo.internalDTD is not None:
        raise InputError(
            f"{path}: found a document type declaration, whose entities can expand without bound; "
            "expected the plain XML of a StackExchange dump; take the declaration out"
        )
