"""The table of how far each tool lies from a judge on the same pairs: `python -m tests.contracts.matrix`.

Judges of three families are exported and read by every tool: alone and in batches, padded on either side, each toolkit
in an environment of its own. Documents that spell special tokens are among the pairs. `--write docs/export.md` puts the
table there and its figures into `matrix.json` beside this file. `--tools` reads some anew, and leaves the rows of
others as they are; `--pairs` and `--families` are for trying it. `--judge DIR --numbers bfloat16` reads a trained judge
instead, on the golden set, and writes nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from interank import Reranker
from interank.diagnosis.exports import fitting, hostile, read_export, readers
from interank.diagnosis.golden import GoldenQuery, Reading, golden_prompts, golden_set, read_golden
from interank.diagnosis.parity import Tolerance, difference
from interank.engines.adapters import folded
from interank.engines.models import find_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.ir.benchmarks import load_benchmark
from interank.reranking.merging import adapted
from interank.resources import resource_dir
from interank.stages.export_judge import allowed_of
from interank.tasks.judge.forms import JUDGE_FORMS, JudgeForm, Numbers, read_form, write_form
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import Source, find_source
from interank.types import Document, Query, grouped
from tests.contracts.environments import TOOLKITS, environment
from tests.contracts.reading import TOOLS, Judge
from tests.support.families import family_folder
from tests.tasks.judge.test_vllm_form import plugin

FIGURES = Path(__file__).with_name("matrix.json")
FAMILIES = ("Llama 3", "Qwen3", "SmolLM2")
_WITH_TOKENIZER = "HuggingFaceTB/SmolLM2-135M-Instruct"
# vLLM's kernels take heads of 32.
_SHAPE = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 4, "max_position_embeddings": 1024}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
_DOCUMENTS, _CHARACTERS = 20, 300
_BATCHES = ((1, "right"), (32, "right"), (32, "left"))
_HOSTILE = "hostile"
_EXPORTS = ("vLLM, classify", "vLLM, the plugin")
HERE = "here"
"""What reads exports in this process: transformers, sentence-transformers, onnxruntime and interank."""
_BEGIN, _END = "<!-- matrix: made by python -m tests.contracts.matrix --write -->", "<!-- end of matrix -->"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one tool makes of one family's judge."""

    pairs: int
    largest: float
    """The largest difference of a score."""
    tau: float
    prompts: int
    """Pairs of other token ids, where the tool tells ids."""
    inert: bool
    """Whether each document that spells special tokens has the ids and the score that it has here."""


@dataclass(frozen=True, slots=True)
class Family:
    """A judge of one family: what it says itself, and what others are asked."""

    own: list[Reading]
    asked: list[GoldenQuery]
    encoder: PromptEncoder
    judge: Judge

    @property
    def allowed(self) -> Tolerance:
        """How far others may lie from it."""
        numbers: Numbers = "bfloat16" if self.judge.numbers == "bfloat16" else "float32"
        return allowed_of(numbers, self.own)


def model_folder(family: str, folder: Path) -> Path:
    """A small random model of the family, strong enough for a mistake to be seen; SmolLM2 with its own tokenizer."""
    if family != "SmolLM2":
        return family_folder(folder, family.lower(), **_SHAPE, **_HEADS)
    files = find_model(_WITH_TOKENIZER)
    config = AutoConfig.from_pretrained(files.folder, **_SHAPE, **_HEADS)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    load_tokenizer(files).save_pretrained(folder)
    return folder


def asked_of(encoder: PromptEncoder, pairs: int) -> list[GoldenQuery]:
    """So many pairs of the sample benchmark, of their texts' beginnings, and what spells special tokens."""
    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    documents = [Document(each.doc_id, each.full_text[:_CHARACTERS].strip()) for each in benchmark.documents().values()]
    chosen = []
    for start in range(0, pairs, _DOCUMENTS):
        query = list(benchmark.queries.values())[start // _DOCUMENTS]
        part = documents[start : min(start + _DOCUMENTS, pairs)]
        chosen.append((Query(query.query_id, query.text[:_CHARACTERS].strip()), part))
    return fitting(encoder, [*chosen, hostile(encoder)])


def made(family: str, folder: Path, pairs: int, forms: Sequence[JudgeForm]) -> Family:
    """A judge of the family, its exports, and its own scores."""
    folder.mkdir()
    source = find_source(model_folder(family, folder / "model"))
    return exported(source, folder, asked_of(judge_encoder(source), pairs), forms, "float32")


def trained(judge: Path, folder: Path, forms: Sequence[JudgeForm], numbers: Numbers) -> Family:
    """A trained judge, asked about the golden set and what spells special tokens."""
    source = find_source(judge)
    encoder = judge_encoder(source)
    return exported(source, folder, fitting(encoder, [*golden_set(), hostile(encoder)]), forms, numbers)


def exported(
    source: Source, folder: Path, asked: list[GoldenQuery], forms: Sequence[JudgeForm], numbers: Numbers
) -> Family:
    """A judge's exports in these numbers, and its own scores in float32."""
    encoder = judge_encoder(source)
    model = adapted(source)
    model = folded(model) if hasattr(model, "peft_config") else model
    own = read_golden(TransformersEngine(model), encoder, asked)
    for to in forms:
        (folder / to).mkdir()
        # A form in bfloat16 rounds the model that it is given.
        write_form(copy.deepcopy(model), encoder, folder / to, to, numbers=numbers)
    lead = list(encoder.label_lead)
    judge = Judge(
        source.name,
        {to: str(folder / to) for to in forms},
        [(query.text, [document.full_text for document in documents]) for query, documents in asked],
        [[*prompt.ids, *lead] for _, prompt in golden_prompts(encoder, asked)],
        list(encoder.label_ids),
        numbers,
    )
    return Family(own, asked, encoder, judge)


def read_here(family: Family) -> Iterator[tuple[str, str, Cell]]:
    """What reads exports in this process: its name, its batches, and what it makes of them."""
    for to in ("cross-encoder", "onnx"):
        if to not in family.judge.exports:
            continue
        folder = Path(family.judge.exports[to])
        told = read_form(folder)
        assert told is not None
        for reader in readers(told):
            for batch, side in _BATCHES:
                read = read_export(folder, family.encoder, family.asked, reader=reader, batch=batch, side=side)
                yield f"{reader} {version(reader)}", f"{batch}, {side}", _cell(family, read)
        yield f"a Reranker on {to}", "its own", _cell(family, _told(family.own, _ranked(folder, family.asked)))


def read_elsewhere(tools: Sequence[str], families: Sequence[Family]) -> Iterator[tuple[str, str, list[Cell]]]:
    """What tools of one environment say in a process of their own: name, batches, and a cell a family."""
    place = TOOLS[tools[0]].environment
    python = sys.executable if place is None else str(environment(place, TOOLKITS[place][0]))
    with tempfile.TemporaryDirectory(prefix="interank-") as folder:
        job, out = Path(folder) / "job.json", Path(folder) / "out.json"
        job.write_text(json.dumps([asdict(family.judge) for family in families]), "utf-8")
        paths = [str(Path.cwd()), str(plugin(Path(folder) / "plugin"))]
        subprocess.run(
            [python, "-m", "tests.contracts.reading", str(job), str(out), *tools],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HAYSTACK_TELEMETRY_ENABLED": "False"},
            check=True,
        )
        said = json.loads(out.read_text("utf-8"))
    for tool, told in said.items():
        for number, size in enumerate(TOOLS[tool].sizes):
            cells = [
                _cell(family, _told(family.own, scores[number]))
                for family, scores in zip(families, told["scores"], strict=True)
            ]
            yield " ".join([tool, *told["versions"]]), "its own" if size is None else str(size), cells


def _ranked(folder: Path, asked: Sequence[GoldenQuery]) -> list[float]:
    """What a `Reranker` on the export gives."""
    reranker, scores = Reranker(folder), []
    for query, documents in asked:
        by_id = {item.doc_id: item.score for item in reranker.rank(query, documents)}
        scores += [by_id[document.doc_id] for document in documents]
    return scores


def _told(own: Sequence[Reading], scores: Sequence[float]) -> list[Reading]:
    """Scores of what tells no ids, which are taken as they should be."""
    return [Reading(one.query_id, one.ids, (), score) for one, score in zip(own, scores, strict=True)]


def _cell(family: Family, read: Sequence[Reading]) -> Cell:
    allowed = family.allowed.score
    couples = [(one, two) for one, two in zip(family.own, read, strict=True) if one.query_id == _HOSTILE]
    inert = all(one.ids == two.ids and abs(one.score - two.score) <= allowed for one, two in couples)
    found = difference(family.own, read)
    return Cell(found.pairs, found.largest, found.tau, found.prompts, inert)


def figures(families: Mapping[str, Family], tools: Sequence[str]) -> dict[str, Any]:
    """All that the table shows."""
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, family in families.items():
        for tool, how, cell in read_here(family) if HERE in tools else ():
            rows.setdefault((tool, how), {})[name] = cell
    for together in grouped((tool for tool in tools if tool != HERE), lambda tool: TOOLS[tool].environment).values():
        for name, how, cells in read_elsewhere(together, list(families.values())):
            rows[name, how] = dict(zip(families, cells, strict=True))
            print(f"{name}, {how}: {', '.join(f'{cell.largest:.1e}' for cell in cells)}", file=sys.stderr, flush=True)
    allowed = {name: family.allowed for name, family in families.items()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "allowed": {name: {"score": found.score, "tau": found.tau} for name, found in allowed.items()},
        "rows": [
            {"tool": tool, "how": how, "found": {name: asdict(cell) for name, cell in cells.items()}}
            for (tool, how), cells in rows.items()
        ],
    }


def merged(told: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What was read now, and of what was not the rows from before, of the same judges and pairs, in one order."""
    now = {_reader(row) for row in told["rows"]}
    rows = [*told["rows"], *(row for row in before["rows"] if _reader(row) not in now)]
    if told["allowed"] != before["allowed"]:
        raise SystemExit(f"{FIGURES} is of other judges or pairs; read all tools anew")
    names = [*dict.fromkeys(_reader(row) for row in rows if _reader(row) not in TOOLS), *TOOLS]
    return {**told, "rows": sorted(rows, key=lambda row: names.index(_reader(row)))}


def _reader(row: Mapping[str, Any]) -> str:
    """What a row is read by, without its version."""
    name = str(row["tool"])
    return next((tool for tool in TOOLS if name == tool or name.startswith(f"{tool} ")), name)


def table(told: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    families = list(told["allowed"])
    heads = ["read by", "pairs at a time, padding", *families, "hostile documents"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in told["rows"]:
        found = [row["found"][name] for name in families]
        inert = "as here" if all(cell["inert"] for cell in found) else "OTHERWISE"
        cells = [row["tool"], row["how"], *(f"{cell['largest']:.1e}; {cell['tau']:.4f}" for cell in found), inert]
        lines.append(f"| {' | '.join(cells)} |")
    allowed = (f"{cell['score']:.1e}; {cell['tau']:.2f}" for cell in told["allowed"].values())
    lines.append(f"| {' | '.join(['**allowed**', '', *allowed, 'as here'])} |")
    return "\n".join(lines)


def faults(told: Mapping[str, Any]) -> list[str]:
    """What lies beyond what is allowed."""
    return [
        f"{row['tool']}, {row['how']}, {name}: {cell}"
        for row in told["rows"]
        for name, cell in row["found"].items()
        if not cell["inert"]
        or cell["prompts"]
        or not cell["largest"] <= told["allowed"][name]["score"]
        or not cell["tau"] >= told["allowed"][name]["tau"]
    ]


def with_table(text: str, told: Mapping[str, Any]) -> str:
    """The document with the table in its place."""
    place = re.compile(f"(?<={re.escape(_BEGIN)}\n).*(?=\n{re.escape(_END)})", re.DOTALL)
    changed, count = place.subn(lambda _: f"\n{table(told)}\n", text)
    if count != 1:
        raise SystemExit(f"found {count} places for the table, and one is needed, between {_BEGIN} and {_END}")
    return changed


def main() -> int:
    """Print the table; 1 where a tool lies farther off than an export may."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.matrix", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--tools", nargs="+", default=[HERE, *TOOLS], choices=[HERE, *TOOLS])
    parser.add_argument("--judge", type=Path, metavar="DIR", help="an output of distill or rl to read in their place")
    parser.add_argument("--numbers", default="float32", choices=get_args(Numbers), help="of that judge's exports")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the document that holds the table")
    options = parser.parse_args()
    if options.judge and (options.write or not {HERE, *_EXPORTS}.issuperset(options.tools)):
        parser.error(
            f"a judge's figures are printed, of --tools {HERE} {' '.join(map(repr, _EXPORTS))}; leave others out"
        )
    with tempfile.TemporaryDirectory(prefix="interank-") as name:
        folder = Path(name)
        forms = JUDGE_FORMS if HERE in options.tools and options.numbers == "float32" else ("cross-encoder", "vllm")
        if options.judge:
            families = {options.judge.name: trained(options.judge, folder, forms, options.numbers)}
        else:
            families = {each: made(each, folder / each, options.pairs, forms) for each in options.families}
        told = figures(families, options.tools)
    if options.judge:
        print(table(told))
        return int(bool(faults(told)))
    if len(options.tools) <= len(TOOLS) and FIGURES.is_file():
        told = merged(told, json.loads(FIGURES.read_text("utf-8")))
    print(table(told))
    for fault in faults(told):
        print(fault, file=sys.stderr)
    if options.write:
        text = with_table(options.write.read_text("utf-8"), told)
        FIGURES.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        options.write.write_text(text, "utf-8")
    return int(bool(faults(told)))


if __name__ == "__main__":
    raise SystemExit(main())
