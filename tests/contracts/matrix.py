"""The table of how far each tool lies from a judge on the same pairs: `python -m tests.contracts.matrix`.

Tiny models of three families are exported and read by every tool at hand, alone and in batches, padded on either side.
Documents that spell special tokens are among the pairs. `--pairs` and `--families` make it smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from interank import Reranker
from interank.diagnosis.exports import fitting, hostile, read_export, readers
from interank.diagnosis.golden import Asked, Reading, read_golden
from interank.diagnosis.parity import Difference, difference
from interank.engines.models import load_model
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.ir.benchmarks import load_benchmark
from interank.resources import resource_dir
from interank.stages.export import export
from interank.tasks.judge.forms import JudgeForm, read_form
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source
from tests.support.families import family_folder

FAMILIES = ("llama 3", "qwen3", "smollm3")
FORMS: tuple[JudgeForm, ...] = ("cross-encoder", "onnx")
_DOCUMENTS = 20
_BATCHES = ((1, "right"), (32, "right"), (32, "left"))
_HOSTILE = "hostile"


@dataclass(frozen=True, slots=True)
class Row:
    """What one tool makes of one family's judge."""

    tool: str
    family: str
    how: str
    found: Difference
    inert: bool
    """Whether each document that spells special tokens has the ids and the score that it has here."""


def asked_of(encoder: PromptEncoder, pairs: int) -> list[Asked]:
    """So many pairs of the sample benchmark, and what spells special tokens."""
    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    documents = list(benchmark.documents().values())
    queries = list(benchmark.queries.values())[: -(-pairs // _DOCUMENTS)]
    counts = [min(_DOCUMENTS, pairs - _DOCUMENTS * place) for place in range(len(queries))]
    chosen = [
        (query, documents[place * _DOCUMENTS :][:count])
        for place, (query, count) in enumerate(zip(queries, counts, strict=True))
    ]
    return fitting(encoder, [*chosen, hostile(encoder)])


def rows_of(family: str, folder: Path, pairs: int) -> Iterator[Row]:
    """Every tool's row."""
    source = find_source(family_folder(folder / "model", family))
    encoder = judge_encoder(source)
    asked = asked_of(encoder, pairs)
    own = read_golden(TransformersEngine(load_model(source.files, precision="float32")), encoder, asked)
    for to in FORMS:
        export(source.name, folder / to, to=to)
        told = read_form(folder / to)
        assert told is not None
        for reader in readers(told):
            for batch, side in _BATCHES:
                read = read_export(folder / to, encoder, asked, reader=reader, batch=batch, side=side)
                yield _row(f"{reader} {version(reader)}", family, f"{batch}, {side}", own, read)
        yield _row(f"interank, the {to} form", family, "its own", own, _ranked(folder / to, asked, own))


def _ranked(folder: Path, asked: Sequence[Asked], own: Sequence[Reading]) -> list[Reading]:
    """What a `Reranker` on the export gives; its ids are not told, and taken as they should be."""
    reranker, scores = Reranker(folder), []
    for query, documents in asked:
        by_id = {item.doc_id: item.score for item in reranker.rank(query, documents)}
        scores += [by_id[document.doc_id] for document in documents]
    return [Reading(one.query_id, one.ids, (), score) for one, score in zip(own, scores, strict=True)]


def _row(tool: str, family: str, how: str, own: Sequence[Reading], read: Sequence[Reading]) -> Row:
    couples = [(one, two) for one, two in zip(own, read, strict=True) if one.query_id == _HOSTILE]
    inert = all(one.ids == two.ids and abs(one.score - two.score) < 1e-4 for one, two in couples)
    return Row(tool, family, how, difference(own, read), inert)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    heads = ("read by", "model", "batch, padding", "pairs", "largest difference", "Kendall's tau", "hostile documents")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        told = "as here" if row.inert else "OTHERWISE"
        found = row.found
        cells = (row.tool, row.family, row.how, found.pairs, f"{found.largest:.1e}", f"{found.tau:.4f}", told)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table; 1 where a tool lies farther off than an export may."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.matrix", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    options = parser.parse_args()
    rows: list[Row] = []
    for family in options.families:
        with tempfile.TemporaryDirectory(prefix="interank-") as folder:
            rows += rows_of(family, Path(folder), options.pairs)
    print(table(rows))
    return int(any(not row.inert or row.found.largest > 1e-4 or row.found.prompts for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
