"""Runs a case: the command, its end, the command that goes on, and what came of it against the uninterrupted run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.cases import FEW, FULL, READERS, SIGNALS, STREAMS, Case, Moment
from tests.chaos.hook import FILLER
from tests.chaos.running import Ended, EndError, Ending, run
from tests.chaos.starter import Starter
from tests.chaos.subjects import IN_FLIGHT, Subject, Teacher

_DISK = "64m"
_NO_MOUNT = "skipped: no file system can be mounted here"
# Codes of a command that met its end; 0 is that of one that was done before.
_CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, FULL: 1, FEW: 1}
# What the sentence has to name.
_NAMES = {FULL: ("full", "go"), FEW: ("open files",), "SIGTERM": ("terminated",), "SIGINT": ("interrupted",)}


@dataclass(frozen=True)
class Reference:
    """A command that nobody ended: its output, its changes on disk, its seconds."""

    digests: dict[str, str]
    changes: int
    seconds: float


class Trial:
    """The reference runs, and what runs the cases."""

    def __init__(self, folder: Path, subjects: dict[str, Subject], teacher: Teacher, starter: Starter) -> None:
        self.folder, self.subjects, self.teacher, self.starter = folder, subjects, teacher, starter
        self.references: dict[str, Reference] = {}
        self.can_mount = _can_mount(folder)

    def reference(self, name: str) -> Reference:
        """The uninterrupted run, made when it is first needed."""
        if name not in self.references:
            subject, folder = self.subjects[name], self.folder / f"whole-{name}"
            folder.mkdir()
            subject.prepare(folder)
            ended = run(self.starter, subject.command(folder), folder, Ending())
            if ended.code:
                raise RuntimeError(f"the uninterrupted {name} ended with {ended.code}: {ended.said}")
            self.references[name] = Reference(subject.digests(folder), ended.changes, ended.seconds)
        return self.references[name]

    def run(self, case: Case) -> str:
        """What came of it: `equal`, `told` (it did not go on and said in a sentence what to do) or `skipped`, and more.

        Of one that is equal the exit codes of the ends follow; 0 is that of a command that came to its own end.

        Raises:
            EndError: It came to another end.
        """
        if case.kind == FULL and not self.can_mount:
            return _NO_MOUNT
        reference, subject = self.reference(case.subject), self.subjects[case.subject]
        folder = self.folder / f"case-{case.number}"
        folder.mkdir()
        self.teacher.asked.clear()
        with _small_disk(folder) if case.kind == FULL else _own_disk():
            outcome = self._run(case, subject, folder, reference)
        shutil.rmtree(folder)
        return outcome

    def _run(self, case: Case, subject: Subject, folder: Path, reference: Reference) -> str:
        command = subject.command(folder)
        codes = []
        for place, moment in enumerate(case.moments):
            subject.prepare(folder)
            more = subject.goes_on if place else []
            ended = run(
                self.starter, [*command, *more, *_loudness(case)], folder, self._ending(case, moment), cold=case.cold
            )
            codes.append(ended.code)
            if not _was_done(ended, folder):
                _check_end(case, ended)
            (folder / FILLER).unlink(missing_ok=True)
        last = run(self.starter, [*command, *subject.goes_on, "--quiet"], folder, Ending())
        if last.code == 1 and len(last.sentences) == 1 and "Traceback" not in last.said:
            return f"told: {last.sentences[0]}"
        if last.code:
            raise EndError(f"the command that went on ended with {last.code}: {last.said}")
        self._compare(case, subject, folder, reference)
        return f"equal: ended with {', then '.join(map(str, codes))}"

    def _ending(self, case: Case, moment: Moment) -> Ending:
        reference = self.references[case.subject]
        if case.kind == STREAMS:
            return Ending(closed=case.closed)
        later = self.starter.seconds if case.cold else 0.0
        seconds = moment.share * reference.seconds + later
        if case.kind == READERS:
            return Ending(seconds=seconds, readers_go=True)
        do = {**SIGNALS, FULL: "fill", FEW: "few"}[case.kind]
        if moment.by_change:
            return Ending(do, at=1 + int(moment.share * reference.changes), spare=case.spare)
        return Ending(do, seconds=moment.share * (reference.seconds + later), group=case.group)

    def _compare(self, case: Case, subject: Subject, folder: Path, reference: Reference) -> None:
        found = subject.digests(folder)
        differing = sorted(n for n in {*found, *reference.digests} if found.get(n) != reference.digests.get(n))
        if differing:
            raise EndError(f"other than the uninterrupted run: {', '.join(differing)}")
        if left := subject.left_over(folder):
            raise EndError(f"left behind: {', '.join(left)}")
        twice = sum(self.teacher.asked.values()) - len(self.teacher.asked)
        if twice > IN_FLIGHT * len(case.moments):
            raise EndError(f"{twice} requests were sent again; at most {IN_FLIGHT} were under way at each end")


def _loudness(case: Case) -> list[str]:
    """Whoever closes a stream or goes away meets a command that speaks."""
    return [] if case.kind in (STREAMS, READERS) else ["--quiet"]


def _was_done(ended: Ended, folder: Path) -> bool:
    """Whether the signal met a command that had its output in its place and was only leaving."""
    return ended.code < 0 and (folder / "out" / "manifest.json").is_file() and "Traceback" not in ended.said


def _check_end(case: Case, ended: Ended) -> None:
    """A command that met its end says so in one sentence and with its code; nobody sees a traceback."""
    if "Traceback" in ended.said:
        raise EndError(f"it ended with {ended.code} and a traceback: {ended.said}")
    if ended.code == 0:
        return
    if not ended.changes and case.cold and case.kind in SIGNALS and ended.code < 0:
        # Python was still on its way to the command.
        return
    if ended.code != _CODES.get(case.kind):
        raise EndError(f"it ended with {ended.code}, and said: {ended.said}")
    if case.kind == "SIGKILL":
        return
    said = ended.said.strip()
    if len(said.splitlines()) != 1 or not ended.sentences:
        raise EndError(f"one sentence is expected, and it said: {ended.said}")
    wanted = (*_NAMES[case.kind], *(() if case.subject == "rerank" else ("--resume",)))
    if missing := [words for words in wanted if words not in said.lower()]:
        raise EndError(f"nothing of {', '.join(missing)} in: {said}")


def _can_mount(folder: Path) -> bool:
    probe = folder / "probe"
    probe.mkdir()
    try:
        with _small_disk(probe):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A file system of a few megabytes in memory."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "interank-chaos", str(folder)], check=True, capture_output=True
    )
    try:
        yield
    finally:
        os.sync()
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def _own_disk() -> Iterator[None]:
    yield
