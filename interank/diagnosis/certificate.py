"""The certificate of parity: how far a model's variants differ, and the readings stored until it is complete."""

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
    """A variant's difference from the reference, and the tolerance for it."""

    variant: Variant
    difference: Difference
    allowed: Tolerance

    @classmethod
    def of(cls, variant: Variant, reference: Sequence[Reading], readings: Sequence[Reading]) -> Row:
        """Compare the variant with the reference, within the tolerance of its kind."""
        return cls(variant, difference(reference, readings), TOLERANCES[variant.kind])

    @property
    def faults(self) -> list[str]:
        """The differences beyond the tolerance."""
        return self.difference.faults(self.allowed)


@dataclass(frozen=True, slots=True)
class Control:
    """A fault made on purpose, and the tolerances that it exceeds; the others would not notice such a fault."""

    fault: str
    difference: Difference
    caught_by: tuple[Kind, ...]

    @classmethod
    def of(cls, fault: str, reference: Sequence[Reading], broken: Sequence[Reading]) -> Control:
        """Compare the faulty readings with the reference, by all tolerances."""
        # An engine's fault would not show in the prompts, so differing prompts do not count.
        moved = replace(difference(reference, broken), prompts=0)
        return cls(fault, moved, tuple(kind for kind, allowed in TOLERANCES.items() if moved.faults(allowed)))


@dataclass(frozen=True, slots=True)
class Certificate:
    """The variants compared with the reference, those skipped, and controls that show which faults would be noticed."""

    reference: Variant
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    controls: tuple[Control, ...]

    @property
    def faults(self) -> list[str]:
        """The faults, a line each; empty if the variants agree and the golden set shows the controls."""
        beyond = [f"{row.variant}: {', '.join(row.faults)}" for row in self.rows if row.faults]
        blind = [
            f"{control.fault} moves scores by {control.difference.largest:.3g} only, so the golden set cannot show "
            "such a fault"
            for control in self.controls
            if "exact" not in control.caught_by
        ]
        return beyond + blind

    def as_row(self) -> dict[str, Any]:
        """The certificate as plain data."""
        rows = [
            {
                "way": asdict(row.variant),
                "found": asdict(row.difference),
                "allowed": asdict(row.allowed),
                "kind": row.variant.kind,
                "faults": row.faults,
            }
            for row in self.rows
        ]
        controls = [
            {"fault": each.fault, "found": asdict(each.difference), "caught_by": each.caught_by}
            for each in self.controls
        ]
        return {**asdict(self), "rows": rows, "controls": controls, "faults": self.faults}


class StoredReadings:
    """The readings so far, on disk until the certificate is complete."""

    def __init__(self, output: Path | None, depends: object) -> None:
        """Take the output (None stores nothing) and everything but the variant on which readings depend."""
        self._held = Held(output.resolve()) if output else None
        self._ledger = Ledger(output.with_name(f".{output.name}.partial.jsonl")) if output else None
        self._depends = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
        self._rows = self._ledger.rows() if self._ledger else []

    def readings(self, name: str, read: Callable[[], list[Reading]]) -> list[Reading]:
        """The readings stored under the name, or else new ones, which are stored."""
        key = [self._depends, name]
        for row in self._rows:
            if row["key"] == key:
                return [Reading(query, tuple(ids), (one, two, three)) for query, ids, (one, two, three) in row["read"]]
        readings = read()
        if self._ledger:
            self._ledger.append([{"key": key, "read": [[item.query_id, item.ids, item.logits] for item in readings]}])
        return readings

    def finish(self) -> None:
        """Delete the stored readings, now that the certificate is complete."""
        if self._ledger and self._held:
            self._ledger.path.unlink(missing_ok=True)
            self._held.release()
