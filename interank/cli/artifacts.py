"""`interank artifacts`: lists the outputs in a folder, and removes unfinished ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.wording import aligned

if TYPE_CHECKING:
    from interank.stages.artifacts import Output

_EPILOG = """\
examples:
  interank artifacts runs
  interank artifacts runs --clean

An unfinished output is in a hidden folder .NAME.partial beside its final place; --resume continues it. --clean removes
these folders, except those that a process is working on; finished outputs stay."""
_HEAD = ("output", "holds", "size", "made", "state", "made from")


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "artifacts",
        parents=[common],
        help="list outputs in a folder; remove unfinished ones",
        description="List the outputs in a folder: what each holds, when and from what it was made, and its state.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path(), help="default: the current one")
    verb.add_argument("--clean", action="store_true", help="remove the unfinished ones")
    verb.add_argument("--json", action="store_true", help="print JSON instead of a table")
    verb.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from interank.stages.artifacts import artifacts, as_json, clean

    if options.clean:
        outputs, kept = clean(options.folder)
        for sentence in kept:
            print(f"kept: {sentence}", file=sys.stderr)
    else:
        outputs = artifacts(options.folder)
    if options.json:
        print(as_json(outputs))
        return 0
    if not outputs:
        print(f"no {'unfinished ' if options.clean else ''}output of interank in {options.folder}", file=sys.stderr)
        return 0
    _print(outputs, removed=options.clean)
    return 0


def _print(outputs: list[Output], *, removed: bool) -> None:
    rows = [_HEAD]
    for each in outputs:
        state = "finished" if each.unfinished is None else "removed" if removed else f"unfinished: {each.unfinished}"
        date = each.made.strftime("%Y-%m-%d %H:%M")
        rows.append((str(each.path), each.kind, _shown(each.size), date, state, ", ".join(each.made_from) or "-"))
    print(aligned(rows))


def _shown(size: int) -> str:
    for unit, bytes_of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size} B"
