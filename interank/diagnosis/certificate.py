"""What a comparison of the variants of a model found, and the readings that it keeps until it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from interank.diagnosis.golden import Reading
from interank.diagnosis.parity import TOLERANCES, Difference, Kind, Tolerance, difference
from interank.diagnosis.variants import Variant
from interank.ledger import Ledger
from interank.locks import Held


@dataclass(frozen=True, slots=True)
class Row:
    """How far a variant lies from the reference."""

    variant: Variant
    found: Difference
    allowed: Tolerance

    @classmethod
    def of(cls, variant: Variant, reference: Sequence[Reading], readings: Sequence[Reading]) -> Row:
        """The variant, held to the tolerance of its kind."""
        return cls(variant, difference(reference, readings), TOLERANCES[variant.kind])

    @property
    def faults(self) -> list[str]:
        """What lies beyond the tolerance."""
        return self.found.faults(self.allowed)


@dataclass(frozen=True, slots=True)
class Control:
    """A fault that was made on purpose, and the tolerances that do not let it pass; the others prove little."""

    fault: str
    found: Difference
    caught_by: tuple[Kind, ...]

    @classmethod
    def of(cls, fault: str, reference: Sequence[Reading], broken: Sequence[Reading]) -> Control:
        """The fault, held to all tolerances."""
        # An engine makes its faults behind the prompts that it is given, so these do not tell.
        found = replace(difference(reference, broken), prompts=0)
        return cls(fault, found, tuple(kind for kind, allowed in TOLERANCES.items() if found.faults(allowed)))


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was compared with the reference, what could not be, and whether the golden set would have shown a fault."""

    reference: Variant
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    controls: tuple[Control, ...]

    @property
    def faults(self) -> list[str]:
        """All that is wrong, a line each; empty if the variants are the same."""
        beyond = [f"{row.variant}: {', '.join(row.faults)}" for row in self.rows if row.faults]
        blind = [
            f"{control.fault} moves scores by {control.found.largest:.3g} only, so the golden set shows no such fault"
            for control in self.controls
            if "exact" not in control.caught_by
        ]
        return beyond + blind

    def as_row(self) -> dict[str, Any]:
        """It as plain data."""
        rows = [
            {
                "way": asdict(row.variant),
                "found": asdict(row.found),
                "allowed": asdict(row.allowed),
                "kind": row.variant.kind,
                "faults": row.faults,
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows, "faults": self.faults}


class StoredReadings:
    """What was read so far, on disk until the certificate is whole."""

    def __init__(self, output: Path | None, depends: object) -> None:
        """Take the output, without which nothing is kept, and all that readings depend on beside their variant."""
        self._held = Held(output.resolve()) if output else None
        self._ledger = Ledger(output.with_name(f".{output.name}.partial.jsonl")) if output else None
        self._depends = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
        self._rows = self._ledger.rows() if self._ledger else []

    def readings(self, name: str, read: Callable[[], list[Reading]]) -> list[Reading]:
        """What stands there under the name, else what is read now."""
        key = [self._depends, name]
        for row in self._rows:
            if row["key"] == key:
                return [Reading(query, tuple(ids), (one, two, three)) for query, ids, (one, two, three) in row["read"]]
        found = read()
        if self._ledger:
            self._ledger.append([{"key": key, "read": [[item.query_id, item.ids, item.logits] for item in found]}])
        return found

    def finish(self) -> None:
        """The certificate is whole: what was kept for it goes."""
        if self._ledger and self._held:
            self._ledger.path.unlink(missing_ok=True)
            self._held.release()
