"""`interank import`: tables that you have to what the stages take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interank.imports.imported import Imported, ImportSettings

KINDS = {
    "questions": "questions with answers, accepted, voted or neither; a row a question, or a row an answer",
}
_PARTS = ("corpus", "queries", "qrels", "run")
_NEXT = {
    "questions": "interank generate RECIPE dumps={out} --out runs/judgments",
    "judgments": "interank distill RECIPE judgments={out} --out runs/student",
}
_EPILOG = """\
kinds:
{kinds}

examples:
  interank import tickets.csv --as questions --dry-run
  interank import tickets.csv --as questions --map body=message accepted= --out runs/tickets

Tables are .jsonl, .json, .csv, .tsv (also .gz), .parquet, or a data set of the hub by its name. Columns are guessed
from their names; --dry-run shows what was guessed and the first row as it is read."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "import",
        parents=[common],
        help="tables that you have to what the stages take",
        description="Turn tables of questions, labels, clicks or scores into what the stages take.",
        epilog=_EPILOG.format(kinds="\n".join(f"  {name:<10} {about}" for name, about in KINDS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("tables", metavar="TABLE", nargs="+", help="a file or folder, or PART=FILE")
    verb.add_argument("--as", dest="kind", required=True, choices=list(KINDS), help="what they hold")
    verb.add_argument("--out", type=Path, metavar="DIR", help="where the output goes")
    verb.add_argument(
        "--map",
        dest="columns",
        action="extend",
        nargs="+",
        default=[],
        metavar="ROLE=COLUMN",
        help="where a column is not the one that was guessed; ROLE= for none",
    )
    verb.add_argument("--dry-run", action="store_true", help="show what would be read, and write nothing")
    verb.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    verb.add_argument("--name", default="", help="what ids and cards call it (default: the file's name)")
    verb.add_argument("--text", choices=["html", "plain"], help="what questions are written in (default: looks)")
    verb.add_argument("--seed", type=int, default=42, help="decides what is drawn (default 42)")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run, usage=verb)


def _run(options: argparse.Namespace) -> int:
    from interank.stages.imports import look, run

    if options.out is None and not options.dry_run:
        options.usage.error("the following arguments are required: --out (or --dry-run)")
    settings = _settings(options)
    if options.dry_run:
        _show(look(settings), as_json=options.json)
        return 0
    artifact = run(
        settings, options.out, existing="resume" if options.resume else "overwrite" if options.overwrite else "refuse"
    )
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in artifact.manifest["counts"].items())
    print(counts)
    print(artifact.path)
    if not options.quiet:
        print(f"next: {_NEXT[artifact.kind].format(out=artifact.path)}")
    return 0


def _settings(options: argparse.Namespace) -> ImportSettings:
    from interank.imports.imported import ImportSettings

    paths, parts = _given(options.tables)
    return ImportSettings(
        options.kind,
        paths,
        parts,
        _columns(options.columns),
        name=options.name,
        text=options.text,
        seed=options.seed,
    )


def _given(tables: Sequence[str]) -> tuple[list[Path], dict[str, Path]]:
    paths, parts = [], {}
    for given in tables:
        name, equals, path = given.partition("=")
        if equals and name in _PARTS:
            parts[name] = Path(path)
        else:
            paths.append(Path(given))
    return paths, parts


def _columns(told: Sequence[str]) -> dict[str, str]:
    from interank.errors import InputError

    found: dict[str, str] = {}
    for item in told:
        role, equals, column = item.partition("=")
        if not equals or not role:
            raise InputError(f"--map {item}: found no ROLE=COLUMN; expected one, for example --map body=message")
        found[role] = column
    return found


def _show(found: Imported, *, as_json: bool) -> None:
    """What would be read: columns, a row, counts."""
    from interank.evaluation.tables import aligned

    if as_json:
        columns = {table: {"columns": dict(of.of), "unused": list(of.unused)} for table, of in found.columns.items()}
        shown = {"columns": columns, "sample": found.sample, "counts": found.counts, "told": list(found.told)}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for table, of in found.columns.items():
        rows = [["role", "column", ""]]
        rows += [[role, name, "as told" if role in of.told else "guessed"] for role, name in of.of.items()]
        print(f"{table}\n{aligned(rows)}")
        print(f"not used: {', '.join(of.unused) or 'no other column'}\n")
    print(f"The first row is read as\n{json.dumps(found.sample, indent=2, ensure_ascii=False)}\n")
    print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in found.counts.items()))
    for sentence in found.told:
        print(sentence)
    print("Nothing was written. Where a column is wrong: --map ROLE=COLUMN (ROLE= for none); else give --out DIR.")
