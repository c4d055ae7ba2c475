"""Marked explanations, honest ones and faults, several of each judged pair; a reward model is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from interank import plain_data
from interank.errors import InputError
from interank.settings import FAULTS as FAULTS
from interank.settings import Fault as Fault
from interank.types import Relevance, Split

FILE = "explanations.parquet"

Writer = Literal["teacher", "student", "program"]
Kind = Literal["honest"] | Fault
DropReason = Literal["contradicted", "unreadable", "failed"]

WRITERS: tuple[Writer, ...] = get_args(Writer)
HONEST: Kind = "honest"
KINDS: tuple[Kind, ...] = (HONEST, *FAULTS)
DROPPED: tuple[DropReason, ...] = get_args(DropReason)
# `marked_by` where no model marked: an honest explanation has 1, a fault 0.
MADE_MARKS = "made faults"

_TEXTS = ("query_id", "doc_id", "query", "document", "explanation", "marked_by", "site")
_GROUP_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class ExplanationRow:
    """An explanation of a judged pair, its writer and its mark."""

    query_id: str
    doc_id: str
    query: str
    document: str
    split: Split
    site: str
    relevance: int
    """The judged grade, even of an `opposite_stance` explanation, which argues for another one."""
    explanation: str
    """Its text, without the label's line."""
    writer: Writer
    """Who wrote it; faults are the program's."""
    kind: Kind
    """`honest` for the teacher's and the student's own texts, else the kind of fault."""
    mark: float | None
    """0 to 1, the mean of `marks`; None if the explanation is dropped."""
    marks: tuple[float, ...]
    """The single marks, one for each order in which the explanations were shown."""
    dropped: DropReason | None
    """Why it is not used; None if it is."""
    marked_by: str
    """The model that marked, or `MADE_MARKS`."""
    reasons: tuple[str, ...] = ()
    """The marking model's reason for each mark; empty if no model marked."""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ExplanationRow))


def write_explanations(rows: Iterable[ExplanationRow], folder: Path) -> None:
    """Write `explanations.parquet`; lone surrogates become replacement characters."""
    import pyarrow
    import pyarrow.parquet

    number = pyarrow.float64()
    types = {"relevance": pyarrow.int64(), "mark": number, "marks": pyarrow.list_(number)}
    types |= {"reasons": pyarrow.list_(pyarrow.string())}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
    written = [{name: _writable(value) for name, value in asdict(row).items()} for row in rows]
    table = pyarrow.Table.from_pylist(written, schema=schema)
    pyarrow.parquet.write_table(table, folder / FILE, row_group_size=_GROUP_ROWS)


def _writable(value: object) -> object:
    """The value with lone surrogates replaced in its texts, which Parquet cannot store."""
    if isinstance(value, tuple):
        return [_writable(each) for each in value]
    return plain_data.writable(value) if isinstance(value, str) else value


def read_explanations(folder: Path, split: Split | None = None) -> list[ExplanationRow]:
    """The explanations of one split, or of all, in file order.

    Raises:
        InputError: There are none, the file cannot be read, or a row is no explanation; the message says which and why.
    """
    explanations = explanations_in(folder)
    if not explanations:
        raise InputError(
            f"{folder / FILE} holds no explanation; make them with interank generate and its section explanations"
        )
    return [item for item in explanations if split is None or item.split == split]


def explanations_in(folder: Path) -> list[ExplanationRow]:
    """All explanations in file order; empty if a budget ended before the first.

    Raises:
        InputError: The file is missing or cannot be read, or a row is no explanation; the message says which and why.
    """
    path = folder / FILE
    return [_explained(row, f"{path}: row {number}") for number, row in enumerate(_rows(path), start=1)]


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise InputError(
            f"{path.parent} has no {FILE}; make one with interank generate RECIPE judgments={path.parent} and a "
            "section explanations"
        )
    try:
        table = pyarrow.parquet.read_table(path, partitioning=None)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as Parquet ({reason}); make it anew") from None
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise InputError(f"{path} has no column {', '.join(missing)}; {', '.join(COLUMNS)} are needed")
    rows: list[dict[str, Any]] = table.select(list(COLUMNS)).to_pylist()
    return rows


def _explained(row: dict[str, Any], where: str) -> ExplanationRow:
    try:
        return _checked(row)
    except ValueError as error:
        raise InputError(f"{where} is no marked explanation ({error}); correct the row, or make it anew") from None


def _checked(row: dict[str, Any]) -> ExplanationRow:
    texts = {name: _named(name, plain_data.text, row[name]) for name in _TEXTS}
    for name in ("query_id", "doc_id", "explanation", "marked_by"):
        if not texts[name].strip():
            raise ValueError(f"{name} is empty")
    choices = {
        "split": get_args(Split),
        "writer": WRITERS,
        "kind": KINDS,
        "dropped": (None, *DROPPED),
    }
    chosen = {name: _one_of(name, row[name], options) for name, options in choices.items()}
    if chosen["kind"] != HONEST and chosen["writer"] != "program":
        raise ValueError(
            f"writer is {chosen['writer']}, but kind {chosen['kind']} is a fault, and faults are written by the program"
        )
    relevance = _named("relevance", _grade, row["relevance"])
    mark = None if row["mark"] is None else _named("mark", _share, row["mark"])
    marks, reasons = _each("marks", _share, row), _each("reasons", plain_data.text, row)
    if mark is None and chosen["dropped"] is None:
        raise ValueError("mark is null, but dropped does not say why")
    if mark is not None and chosen["dropped"] is not None:
        raise ValueError(f"mark is {mark:g}, where null is needed, since dropped is {chosen['dropped']}")
    return ExplanationRow(**texts, **chosen, relevance=relevance, mark=mark, marks=marks, reasons=reasons)


def _grade(value: object) -> int:
    return plain_data.whole(value, least=0, most=max(Relevance))


def _share(value: object) -> float:
    return plain_data.finite(value, least=0, most=1)


def _named(name: str, read: Callable[[object], Any], value: object) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _each(name: str, read: Callable[[object], Any], row: dict[str, Any]) -> tuple[Any, ...]:
    if not isinstance(row[name], list):
        raise ValueError(f"{name} is {plain_data.shown(row[name])}, where a list is needed")
    return tuple(_named(name, read, value) for value in row[name])


def _one_of(name: str, value: object, options: tuple[object, ...]) -> Any:
    if value not in options:
        names = ", ".join("null" if option is None else str(option) for option in options)
        raise ValueError(f"{name} is {plain_data.shown(value)}, where one of {names} is needed")
    return value
