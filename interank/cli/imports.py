"""`interank import`: tables that you have to what the stages take."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.cli.next_step import say_next, word
from interank.wording import aligned

if TYPE_CHECKING:
    from interank.imports.results import ImportResult, ImportSettings

KINDS = {
    "questions": "questions with answers, accepted, voted or neither; a row a question, or a row an answer",
    "qrels": "human judgments: a folder in BEIR's layout, or qrels=FILE corpus=FILE queries=FILE (TREC or own columns)",
    "pairs": "query, document, label; without labels every pair is relevant",
    "triples": "query, positive, negative: texts or lists",
    "clicks": "query, shown documents in order, clicked ones; or query, document, position, clicked",
    "scores": "another reranker's scores, or an LLM's grades: query, document, score [, explanation]; or run=FILE",
}
_PARTS = ("corpus", "queries", "qrels", "run")
_NEXT = {
    "questions": (
        "interank split {out} --out runs/split keeps some for a test",
        "interank generate generate/smollm2 dumps={out} decontaminate=false teacher.grades=votes "
        "teacher.max_reasoning_tokens=0 --out runs/votes grades all of them by votes, without a teacher",
    ),
    "judgments": (
        "interank split {out} --out runs/split keeps some for a test, and for validation",
        "interank distill distill/smollm2 judgments={out} --out runs/student learns from all of them; "
        "trainer.max_steps=20 makes it a quick try",
    ),
}
_EPILOG = """\
kinds:
{kinds}

examples:
  interank import tickets.csv --as questions --dry-run
  interank import tickets.csv --as questions --map body=message accepted= --out runs/tickets
  interank import data/benchmark --as qrels --out runs/labels
  interank import clicks.jsonl corpus=pages.jsonl --as clicks --out runs/labels
  interank import scores.csv --as scores --grades=0.3,0.7 --out runs/labels

Labels become judgments: grades 0, 1 and 2, with scores and weights where there are some. distill learns from them
without a teacher.

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
        action=_Mapped,
        nargs="+",
        default=[],
        metavar="ROLE=COLUMN",
        help="where a column is not the one that was guessed; ROLE= for none, ROLE=A+B for a text of several columns",
    )
    verb.add_argument("--dry-run", action="store_true", help="show what would be read, and write nothing")
    verb.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    verb.add_argument("--name", default="", help="what ids and cards call it (default: the file's name)")
    verb.add_argument("--text", choices=["html", "plain"], help="what questions are written in (default: looks)")
    verb.add_argument("--split", metavar="NAME", help="of a folder of qrels that has several")
    verb.add_argument(
        "--grades",
        type=_bounds,
        metavar="LOW,HIGH",
        help="labels from LOW on are grade 1, from HIGH on grade 2 (default: by the scale, where it tells)",
    )
    verb.add_argument(
        "--negatives",
        type=_count,
        default=4,
        metavar="N",
        help="documents that nobody judged, as grade 0 for a query that has none (default 4)",
    )
    verb.add_argument(
        "--propensities",
        type=_shares,
        metavar="P,P,...",
        help="of clicks: how probable it is that each position is looked at, the first first (default 1/position)",
    )
    verb.add_argument(
        "--clip", type=_most, default=10.0, metavar="X", help="of clicks: the most that one counts (default 10)"
    )
    verb.add_argument("--seed", type=int, default=42, help="decides what is drawn (default 42)")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


class _Mapped(argparse.Action):
    """Columns by role; the option takes every word behind it, so what is none is likely a table."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        """Add the words."""
        for given in values:
            role, equals, path = given.partition("=")
            if not role or not equals:
                raise argparse.ArgumentError(
                    self,
                    f"{given!r} is no ROLE=COLUMN, as body=message is. --map takes all words behind it: put tables "
                    "before it, and quote a column's name that has blanks",
                )
            if role in _PARTS:
                raise argparse.ArgumentError(
                    self, f"{given!r} is a file and no column ({path} is read as {role}); put it before --map"
                )
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *values])


def _numbers(given: str) -> list[float]:
    try:
        found = [float(part) for part in given.split(",")]
    except ValueError:
        found = []
    if not found or not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"{given!r} is no list of numbers parted by commas")
    return found


def _bounds(given: str) -> tuple[float, float]:
    found = _numbers(given)
    if len(found) != 2 or found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"{given!r} is not two numbers, the lower first, as 0.3,0.7 is")
    return found[0], found[1]


def _shares(given: str) -> list[float]:
    found = _numbers(given)
    if not all(0 < share <= 1 for share in found):
        raise argparse.ArgumentTypeError(f"{given!r} holds what is no probability above 0 and at most 1")
    return found


def _most(given: str) -> float:
    found = _numbers(given)
    if len(found) != 1 or found[0] < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is no number of at least 1")
    return found[0]


def _count(given: str) -> int:
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given!r} is no whole number from 0 on")
    return int(given)


def _run(options: argparse.Namespace) -> int:
    from interank.stages.imports import look, run

    if options.out is None and not options.dry_run:
        options.parser.error("the following arguments are required: --out (or --dry-run)")
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
    say_next(options, *(hint.format(out=word(artifact.path)) for hint in _NEXT[artifact.kind]))
    return 0


def _settings(options: argparse.Namespace) -> ImportSettings:
    from interank.imports.results import ImportSettings

    paths, parts = _given(options.tables)
    return ImportSettings(
        options.kind,
        paths,
        parts,
        _columns(options.columns),
        name=options.name,
        text=options.text,
        split=options.split,
        grades=options.grades,
        negatives=options.negatives,
        propensities=options.propensities,
        clip=options.clip,
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
    return {role: column for role, _, column in (item.partition("=") for item in told)}


def _show(found: ImportResult, *, as_json: bool) -> None:
    """What would be read: columns, a row, counts."""
    if as_json:
        columns = {table: {"columns": dict(of.of), "unused": list(of.unused)} for table, of in found.columns.items()}
        shown = {"columns": columns, "sample": found.sample, "counts": found.counts, "told": list(found.told)}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for table, of in found.columns.items():
        rows = [["role", "column", ""]]
        rows += [[role, name, "as told" if role in of.told else "guessed"] for role, name in of.of.items()]
        print(f"{table}\n{aligned(rows, figures=True)}")
        print(f"not used: {', '.join(of.unused) or 'no other column'}\n")
    print(f"The first row is read as\n{json.dumps(found.sample, indent=2, ensure_ascii=False)}\n")
    print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in found.counts.items()))
    for sentence in found.told:
        print(sentence)
    print("Nothing was written. Where a column is wrong: --map ROLE=COLUMN (ROLE= for none); else give --out DIR.")
