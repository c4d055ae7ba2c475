"""Every reader of files and bodies under inputs drawn by hypothesis: it reads, or says in a sentence why not.

In the suite each takes some seconds and draws the same; `make fuzz` gives each INTERANK_FUZZ_SECONDS and draws anew.
"""

from __future__ import annotations

import json
import os
import string
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from interank.artifact import MANIFEST, open_artifact
from interank.engines.licences import licence_of
from interank.engines.models import ModelFiles
from interank.engines.use import FILE, read_head, read_use
from interank.errors import InterankError
from interank.ir.benchmarks.rows import read_rows
from interank.ir.trec import read_qrels, read_run
from interank.judging import parse, parse_json
from interank.judgments import read_judgments
from interank.mining.rows import BadRowError
from interank.mining.rows import read_rows as read_posts
from interank.mining.stackexchange import post_from
from interank.mining.streams import Table as DumpTable
from interank.pairs import read_pairs
from interank.recipe import load_recipe
from interank.serving.dialects import DIALECTS, read
from interank.serving.options import read_options
from interank.tables.reading import Table

SECONDS = float(os.environ.get("INTERANK_FUZZ_SECONDS", "0"))
_SLOW = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
_KEYS = ("_id", "id", "text", "title", "query", "document", "relevance", "kind", "format", "inputs", "files", "stage")

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=5), inner),
    max_leaves=12,
)
"""What JSON can hold, with keys that readers look for."""
noise = st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
words = st.lists(st.sampled_from(["q1", "Q0", "d1", "0", "1", "-1", "1e9", "nan", "\t", " ", "\n", "#", "tag", "\0"]))


def json_lines(rows: list[Any]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


rows = st.lists(values, max_size=4).map(json_lines) | noise
trec = words.map(" ".join).map(str.encode) | words.map("".join).map(str.encode) | noise
attributes = st.lists(
    st.tuples(st.sampled_from(["Id", "PostTypeId", "Body", "Score", "Tags"]), st.text(string.printable, max_size=9)),
    max_size=4,
)


def row(pairs: list[tuple[str, str]]) -> str:
    given = " ".join(f'{name}="{value}"' for name, value in pairs)
    return f"  <row {given} />\n"


dump = st.lists(attributes, max_size=4).map(lambda rows: f"<posts>\n{''.join(map(row, rows))}</posts>\n".encode())
_PARTS = ("stage: evaluate\n", "depth: ", "10\n", "- ", "&a ", "*a ", "{", "}", "[", "]", ": ", "<<: ", "!!binary ")
_MORE = ("measures: ", "nDCG@10\n", "'", '"', "\t", "| \n", "...\n", "---\n", "trainer: {", "1e5", "benchmark: x\n")
parts = st.sampled_from((*_PARTS, *_MORE))
yaml = st.lists(parts, max_size=12).map("".join).map(str.encode) | noise
card = st.tuples(yaml, st.binary(max_size=20)).map(
    lambda parts: b"---\nlicense: x\n" + parts[0] + b"\n---\n" + parts[1]
)
manifest = values.map(json.dumps).map(str.encode) | st.fixed_dictionaries(
    {"format": st.just(1) | leaves, "kind": st.sampled_from(["pairs", "adapter"]), "inputs": values, "files": values}
).map(json.dumps).map(str.encode)


_ASKED = (
    "query",
    "documents",
    "texts",
    "top_n",
    "passages",
    "text_1",
    "text_2",
    "model",
    "return_documents",
    "queries",
    "mode",
    "explain",
    "min_score",
    "min_grade",
    "timeout",
)
body = st.dictionaries(st.sampled_from(_ASKED), values, max_size=6).map(json.dumps).map(str.encode)
use = (
    st.dictionaries(st.sampled_from(("modes", "prompt", "prompt_hash", "head")), values).map(json.dumps).map(str.encode)
)


def parquet(folder: Path, data: bytes) -> Path:
    """A sound file of Parquet, cut and with bytes of the input in it."""
    path = folder / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"_id": ["a", "b"], "text": ["x", "y"]}), path)
    whole = bytearray(path.read_bytes())
    for number in range(0, len(data) - 1, 2):
        whole[(data[number] * 7) % len(whole)] = data[number + 1]
    path.write_bytes(bytes(whole[: len(whole) - (len(data) % 3)]))
    return path


def named(name: str) -> Callable[[Path, bytes], Path]:
    def write(folder: Path, data: bytes) -> Path:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def whole(read: Callable[[Path], Any]) -> Callable[[Path], object]:
    return lambda path: list(read(path))


def bodies(path: Path) -> object:
    """As each dialect has it; one that is no object never comes so far."""
    body = json.loads(path.read_bytes())
    if isinstance(body, dict):
        read_options(body)
        for dialect in DIALECTS:
            with suppress(InterankError):
                read(dialect, body)
    return None


def used(path: Path) -> object:
    """What stands beside weights, as each that may ask for it does."""
    with suppress(InterankError):
        read_use(path.parent)
    return read_head(path.parent)


def posts(path: Path) -> object:
    """A dump's rows as posts; those that are none are skipped."""
    found = []
    for row in read_posts(DumpTable(path)):
        with suppress(BadRowError):
            found.append(post_from(row, "a.stackexchange.com"))
    return found


def judged(path: Path) -> object:
    return read_judgments(path.parent)


READERS: dict[str, tuple[st.SearchStrategy[bytes], Callable[[Path, bytes], Path], Callable[[Path], object]]] = {
    "dump": (dump | noise, named("Posts.xml"), posts),
    "JSONL": (rows, named("rows.jsonl"), whole(lambda path: read_rows([path]))),
    "table of JSONL": (rows, named("rows.jsonl"), whole(lambda path: Table(path).rows())),
    "table of JSON": (rows, named("rows.json"), whole(lambda path: Table(path).rows())),
    "table of CSV": (trec | noise, named("rows.csv"), whole(lambda path: Table(path).rows())),
    "Parquet": (noise, parquet, whole(lambda path: read_rows([path]))),
    "run": (trec, named("run.trec"), read_run),
    "qrels": (trec, named("qrels.tsv"), read_qrels),
    "judgments": (rows, named("judgments.jsonl"), judged),
    "pairs": (rows, named("pairs.jsonl"), whole(lambda path: read_pairs(path.parent))),
    "recipe": (yaml, named("recipe.yaml"), lambda path: load_recipe(str(path))),
    "manifest": (manifest | noise, named(f"x/{MANIFEST}"), lambda path: open_artifact(path.parent).lineage()),
    "reply": (rows, named("reply"), lambda path: parse(path.read_bytes().decode("utf-8", "replace"))),
    "reply in JSON": (rows, named("reply"), lambda path: parse_json(path.read_bytes().decode("utf-8", "replace"))),
    "interank.json": (use | noise, named(FILE), used),
    "body": (body, named("body"), bodies),
    "card": (card | noise, named("README.md"), lambda path: licence_of(ModelFiles("x", path.parent, "folder"))),
}


def rounds() -> Iterator[int]:
    """Once in the suite; anew, as often as there is time, under `make fuzz`."""
    began, number = time.monotonic(), 0
    while number == 0 or time.monotonic() - began < SECONDS:
        yield number
        number += 1


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_says_why_not(tmp_path: Path, name: str) -> None:
    strategy, write, read = READERS[name]
    drawn = 0

    @settings(
        max_examples=60 if not SECONDS else 500,
        derandomize=not SECONDS,
        database=None,
        deadline=None,
        suppress_health_check=_SLOW,
        phases=(Phase.generate, Phase.shrink),
    )
    @given(data=strategy)
    def told(data: bytes) -> None:
        nonlocal drawn
        drawn += 1
        path = write(tmp_path, data)
        try:
            read(path)
        except InterankError as error:
            assert "\n" not in str(error).strip() or len(str(error)) < 4000
            assert "Traceback" not in str(error)

    for _ in rounds():
        told()
    # Shown by pytest -rP, for the records of a long run.
    print(f"{name}: {drawn:,} drawn")
