"""Which command ends how and when: drawn from a seed, so that any case can be had again by its number."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.subjects import NAMES

SIGNALS = {"SIGKILL": "kill", "SIGTERM": "term", "SIGINT": "int"}
FULL, STREAMS, READERS, FEW = "full disk", "closed streams", "readers gone", "few handles"
# As many as do not divide the commands' number: every pair of the two comes up.
KINDS = (*SIGNALS, FULL, STREAMS, READERS, FEW)

_AGAIN = 0.3
_COLD = 0.2
_BY_CHANGE = 0.6
_AT_THE_END = 0.3
_LAST = 0.15
# A run may be slower than the one before.
_LONGEST = 1.05
_HANDLES = 8
_BYTES = 1 << 16


@dataclass(frozen=True)
class Moment:
    """When a command is ended: at a share of its changes on disk, or of its time."""

    share: float
    by_change: bool

    def __str__(self) -> str:
        return f"at {self.share:.0%} of its {'changes' if self.by_change else 'time'}"


@dataclass(frozen=True)
class Case:
    """A command, how it ends, and when; a second moment is that of the command that goes on."""

    number: int
    subject: str
    kind: str
    moments: tuple[Moment, ...]
    cold: bool
    """Whether the command starts as a user's does, or with its imports done."""
    group: bool
    """Whether a signal goes to all processes of the command, as from a keyboard."""
    spare: int
    """What is left: of a disk bytes, of handles their number."""
    closed: tuple[str, ...]
    """The streams that are closed."""

    def __str__(self) -> str:
        start = ", cold" if self.cold else ""
        return f"{self.number}: {self.subject}, {self.kind} {', then '.join(map(str, self.moments))}{start}"


def case(seed: int, number: int) -> Case:
    """The case of that number, from 0."""
    rng = random.Random(f"{seed} {number}")
    subject = NAMES[(number + seed) % len(NAMES)]
    kind = KINDS[(number + seed // len(NAMES)) % len(KINDS)]
    moments = [_moment(rng, kind) for _ in range(2 if kind not in (STREAMS, READERS) and rng.random() < _AGAIN else 1)]
    spare = rng.randrange(_HANDLES) if kind == FEW else rng.choice((0, rng.randrange(_BYTES)))
    closed = tuple(rng.sample(("stdin", "stdout", "stderr"), rng.randint(1, 3))) if kind == STREAMS else ()
    return Case(number, subject, kind, tuple(moments), rng.random() < _COLD, rng.random() < 0.5, spare, closed)


def _moment(rng: random.Random, kind: str) -> Moment:
    # The process itself fills its disk and takes its handles; whoever reads goes when it is time.
    by_change = kind in (FULL, FEW) or (kind in SIGNALS and rng.random() < _BY_CHANGE)
    if rng.random() < _AT_THE_END:
        return Moment(1 - rng.random() * _LAST, by_change)
    return Moment(rng.random() * (1 if by_change else _LONGEST), by_change)
