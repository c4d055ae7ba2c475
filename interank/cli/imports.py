"""`interank import`: turns your own tables into inputs of the stages."""

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
    "questions": "questions with answers, accepted, voted or neither; one row for each question or each answer",
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

Labels become judgments: grades 0, 1 and 2, with scores and weights if the table has them. distill learns from them
without a teacher.

Tables are .jsonl, .json, .csv, .tsv (also .gz), .parquet, or a data set of the hub by its name. Columns are guessed
from their names; --dry-run shows the guesses and the first row as it is read."""


def register(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "import",
        parents=[common],
        help="turn your own tables into inputs of the stages",
        description="Turn tables of questions, labels, clicks or scores into inputs of the stages.",
        epilog=_EPILOG.format(kinds="\n".join(f"  {name:<10} {about}" for name, about in KINDS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("tables", metavar="TABLE", nargs="+", help="a file or folder, or PART=FILE")
    verb.add_argument("--as", dest="kind", required=True, choices=list(KINDS), help="the kind of their contents")
    verb.add_argument("--out", type=Path, metavar="DIR", help="the output folder")
    verb.add_argument(
        "--map",
        dest="columns",
        action=_Mapped,
        nargs="+",
        default=[],
        metavar="ROLE=COLUMN",
        help="the column of a role, where the guess is wrong; ROLE= for none, ROLE=A+B to join the texts of several",
    )
    verb.add_argument("--dry-run", action="store_true", help="show what would be read, and write nothing")
    verb.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    verb.add_argument("--name", default="", help="the name in ids and cards (default: the file's name)")
    verb.add_argument("--text", choices=["html", "plain"], help="the markup of questions (default: detected)")
    verb.add_argument("--split", metavar="NAME", help="the split of a folder of qrels that has several")
    verb.add_argument(
        "--grades",
        type=_bounds,
        metavar="LOW,HIGH",
        help="labels from LOW are grade 1, from HIGH grade 2 (default: by the labels' scale, where it is clear)",
    )
    verb.add_argument(
        "--negatives",
        type=_count,
        default=4,
        metavar="N",
        help="unjudged documents added as grade 0 to a query that has none (default 4)",
    )
    verb.add_argument(
        "--propensities",
        type=_shares,
        metavar="P,P,...",
        help="of clicks: the probability that each position is examined, from the first on (default 1/position)",
    )
    verb.add_argument(
        "--clip", type=_most, default=10.0, metavar="X", help="of clicks: the largest weight of one (default 10)"
    )
    verb.add_argument("--seed", type=int, default=42, help="the seed of random draws (default 42)")
    existing = verb.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="reuse a finished output")
    existing.add_argument("--overwrite", action="store_true", help="replace an output")
    verb.set_defaults(run=_run)


class _Mapped(argparse.Action):
    """Columns by role; the option takes every word behind it, so a word that is no column is likely a table."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        """Check the words and add them."""
        for value in values:
            role, equals, path = value.partition("=")
            if not role or not equals:
                raise argparse.ArgumentError(
                    self,
                    f"found {value!r}, where ROLE=COLUMN is expected, as body=message. --map takes all words behind "
                    "it: put tables before it, and quote a column's name that has blanks",
                )
            if role in _PARTS:
                raise argparse.ArgumentError(
                    self, f"{value!r} is a file and no column ({path} is read as {role}); put it before --map"
                )
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *values])


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"found {text!r}, where numbers with commas between them are expected")
    return numbers


def _bounds(text: str) -> tuple[float, float]:
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise argparse.ArgumentTypeError(f"found {text!r}, where two numbers are expected, the lower first, as 0.3,0.7")
    return numbers[0], numbers[1]


def _shares(text: str) -> list[float]:
    numbers = _numbers(text)
    if not all(0 < share <= 1 for share in numbers):
        raise argparse.ArgumentTypeError(f"found {text!r}, where probabilities above 0 and at most 1 are expected")
    return numbers


def _most(text: str) -> float:
    numbers = _numbers(text)
    if len(numbers) != 1 or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, where a number of at least 1 is expected")
    return numbers[0]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, where a whole number of at least 0 is expected")
    return int(text)


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

    paths, parts = _files(options.tables)
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


def _files(tables: Sequence[str]) -> tuple[list[Path], dict[str, Path]]:
    paths, parts = [], {}
    for table in tables:
        name, equals, path = table.partition("=")
        if equals and name in _PARTS:
            parts[name] = Path(path)
        else:
            paths.append(Path(table))
    return paths, parts


def _columns(words: Sequence[str]) -> dict[str, str]:
    return {role: column for role, _, column in (each.partition("=") for each in words)}


def _show(imported: ImportResult, *, as_json: bool) -> None:
    """Print what would be read: columns, a row, counts."""
    if as_json:
        columns = {table: {"columns": dict(of.of), "unused": list(of.unused)} for table, of in imported.columns.items()}
        shown = {"columns": columns, "sample": imported.sample, "counts": imported.counts, "told": list(imported.told)}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for table, of in imported.columns.items():
        rows = [["role", "column", ""]]
        rows += [[role, name, "by --map" if role in of.told else "guessed"] for role, name in of.of.items()]
        print(f"{table}\n{aligned(rows, figures=True)}")
        print(f"not used: {', '.join(of.unused) or 'no other column'}\n")
    print(f"The first row is read as\n{json.dumps(imported.sample, indent=2, ensure_ascii=False)}\n")
    print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in imported.counts.items()))
    for sentence in imported.told:
        print(sentence)
    print("Nothing was written. If a column is wrong, give --map ROLE=COLUMN (ROLE= for none); else give --out DIR.")
