"""Broken benchmarks: each is told in a sentence with the file, and with the line or row where there is one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.benchmarks import EVERYTHING, BenchmarkOptions, load_tasks
from tests.support import layouts
from tests.support.layouts import CORPUS, DOCUMENTS, EXAMPLES, PART, QUERIES, REWRITTEN_EXAMPLES, parquet, rows

Make = Callable[[Path, dict[str, Any]], Path]

NO_TEXT = BenchmarkOptions(need_text=False)
BIOLOGY = BenchmarkOptions(tasks=("biology",))
REWRITTEN = BenchmarkOptions(tasks=("biology",), rewritten="gpt4_reason")
GOOD = parquet(EXAMPLES)


def beir(path: Path, changes: dict[str, Any]) -> Path:
    files = {"corpus.jsonl": rows(CORPUS), "queries.jsonl": rows(QUERIES), "qrels.tsv": "q1\t0\td1\t2\nq2\t0\td3\t0\n"}
    return layouts.put(path, files | changes)


# By layout: what is broken, what was asked for, what is said.
BROKEN: dict[str, tuple[Make, dict[str, Any], BenchmarkOptions, str]] = {
    "no qrels": (beir, {"qrels.tsv": None}, EVERYTHING, "gold_ids"),
    "no corpus": (beir, {"corpus.jsonl": None}, EVERYTHING, "corpus.jsonl"),
    "no queries": (beir, {"queries.jsonl": None}, EVERYTHING, "queries.jsonl"),
    "qrels of other queries": (beir, {"qrels.tsv": "x 0 d1 1\n"}, EVERYTHING, r"qrels.tsv:1: .*'x'"),
    "judged document not in the corpus": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq1 0 d7 1\n"},
        EVERYTHING,
        "qrels.tsv:2.*'d7'",
    ),
    "ranked document not in the corpus": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d7 2 1 t\n"},
        EVERYTHING,
        "run.trec:2",
    ),
    "JSON nested too deeply": (
        beir,
        {"queries.jsonl": rows(QUERIES) + "[" * 200_000 + "\n"},
        EVERYTHING,
        r"queries.jsonl:\d+",
    ),
    "a number of thousands of digits": (
        beir,
        {"queries.jsonl": rows(QUERIES) + "9" * 5000 + "\n"},
        EVERYTHING,
        r"queries.jsonl:\d+",
    ),
    "a relevance of thousands of digits": (
        beir,
        {"qrels.tsv": f"q1 0 d1 {'9' * 5000}\n"},
        EVERYTHING,
        "qrels.tsv:1",
    ),
    "NaN in a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d2 2 nan t\n"},
        EVERYTHING,
        "run.trec:2",
    ),
    "line twice in a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\n" * 2},
        EVERYTHING,
        "run.trec:2.*'q1'.*'d1'",
    ),
    "line twice in qrels": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq1 0 d1 1\n"},
        EVERYTHING,
        "qrels.tsv:2.*'q1'.*'d1'",
    ),
    "columns of qrels": (beir, {"qrels.tsv": "q1 0 d1 1\nq2 d3\n"}, EVERYTHING, "qrels.tsv:2: .*2 columns"),
    "columns of a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d2 2 1\n"},
        EVERYTHING,
        "run.trec:2: .*5 columns",
    ),
    "relevance in words": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq2 0 d3 relevant\n"},
        EVERYTHING,
        "qrels.tsv:2.*'relevant'",
    ),
    "query": (
        beir,
        {"queries.jsonl": rows([QUERIES[0], {"_id": "q2", "text": " "}])},
        EVERYTHING,
        "queries.jsonl:2.*'q2'",
    ),
    "query twice": (
        beir,
        {"queries.jsonl": rows([*QUERIES, QUERIES[0]])},
        EVERYTHING,
        "queries.jsonl:3.*'q1'",
    ),
    "document twice with another text": (
        beir,
        {"corpus.jsonl": rows([*CORPUS, {"_id": "d2", "text": "else"}])},
        EVERYTHING,
        "corpus.jsonl:4.*'d2'",
    ),
    "empty file": (beir, {"corpus.jsonl": ""}, EVERYTHING, "corpus.jsonl"),
    "empty qrels": (beir, {"qrels.tsv": ""}, EVERYTHING, "qrels.tsv"),
    "not JSON": (
        beir,
        {"corpus.jsonl": rows(CORPUS) + '{"_id": "d4"\n'},
        EVERYTHING,
        "corpus.jsonl:4",
    ),
    "no columns": (
        beir,
        {"corpus.jsonl": rows(CORPUS) + '"d4"\n'},
        EVERYTHING,
        "corpus.jsonl:4.*'d4'",
    ),
    "half a character": (
        beir,
        {"corpus.jsonl": rows([*CORPUS, {"_id": "d4", "text": "a \ud83d b"}])},
        EVERYTHING,
        "corpus.jsonl:4",
    ),
    "half a character in a query": (
        beir,
        {"queries.jsonl": rows([{"_id": "q1", "text": "\udc00"}])},
        EVERYTHING,
        "queries.jsonl:1",
    ),
    "not UTF-8": (
        beir,
        {"corpus.jsonl": rows(CORPUS).encode() + b'{"_id": "d4", "text": "caf\xe9"}\n'},
        EVERYTHING,
        "corpus.jsonl:4",
    ),
    "UTF-16": (
        beir,
        {"qrels.tsv": "q1\t0\td1\t2\n".encode("utf-16")},
        EVERYTHING,
        "qrels.tsv:1",
    ),
    "cut gzip": (
        beir,
        {"corpus.jsonl": None, "corpus.jsonl.gz": gzip.compress(rows(CORPUS).encode())[:-6]},
        EVERYTHING,
        r"corpus.jsonl.gz: the gzip stream is cut",
    ),
    "unknown split": (beir, {}, BenchmarkOptions(split="tset"), "'tset'"),
    "unknown task": (beir, {}, BenchmarkOptions(tasks=("brokn",)), "'brokn'"),
    "excluded and relevant": (
        beir,
        {"excluded_source_docs.tsv": "q2 0 d1 -1\nq1 0 d1 -1\n"},
        EVERYTHING,
        r"excluded_source_docs.tsv:2: .*'q1' excludes .*'d1'.*qrels.tsv:1",
    ),
    "excluded and relevant in one row": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([EXAMPLES[1], EXAMPLES[0] | {"excluded_ids": ["a page%27s_2.txt"]}])},
        BIOLOGY,
        "biology-00000-of-00001.parquet: row 2.*'0'.*'a page%27s_2.txt'",
    ),
    "unknown BRIGHT task": (
        layouts.hub_bright,
        {},
        BenchmarkOptions(tasks=("biolgy",)),
        "'biolgy'",
    ),
    "no BRIGHT documents": (
        layouts.topics_bright,
        {},
        EVERYTHING,
        "documents/sustainable_living-.*hf.*xlangai/BRIGHT",
    ),
    "gold not in BRIGHT's documents": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet(DOCUMENTS[:2])},
        BIOLOGY,
        "examples/biology-00000-of-00001.parquet: row 2",
    ),
    "document of BRIGHT twice with another text": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet([*DOCUMENTS, {"id": "unasked.txt", "content": "else"}])},
        BIOLOGY,
        "documents/biology-00000-of-00001.parquet: row 6.*'unasked.txt'",
    ),
    "empty BRIGHT query": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([EXAMPLES[0], EXAMPLES[1] | {"query": ""}])},
        BIOLOGY,
        "examples/biology-00000-of-00001.parquet: row 2.*'1'",
    ),
    "ids that are no list": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([row | {"gold_ids": "d1"} for row in EXAMPLES])},
        BIOLOGY,
        "biology-00000-of-00001.parquet.*1.*gold_ids.*'d1'",
    ),
    "column missing in Parquet": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet([{"id": "a", "body": "x"}])},
        BIOLOGY,
        "documents/biology-00000-of-00001.parquet.*1",
    ),
    "cut Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": GOOD[: len(GOOD) // 2]},
        BIOLOGY,
        "examples/biology-00000-of-00001.parquet.*1",
    ),
    "damaged Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": GOOD[:4] + bytes(200) + GOOD[204:]},
        BIOLOGY,
        "examples/biology-00000-of-00001.parquet.*1",
    ),
    "empty Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": b""},
        BIOLOGY,
        "examples/biology-00000-of-00001.parquet.*1",
    ),
    "part missing": (
        layouts.hub_bright,
        {f"examples/biology{PART}": None, "examples/biology-00001-of-00002.parquet": GOOD},
        BIOLOGY,
        "1 of the 2 .*biology-00001-of-00002.parquet",
    ),
    "two forms": (
        layouts.hub_bright,
        {"documents/biology.jsonl": rows(DOCUMENTS)},
        BIOLOGY,
        "documents.*biology.*biology",
    ),
    "qrels form that is not there": (
        layouts.hub_bright,
        {},
        BenchmarkOptions(tasks=("biology",), qrels_form="fixed"),
        "qrels/biology.fixed.txt.*or.*qrels_form=original",
    ),
    "fixed qrels of long documents": (
        layouts.hub_bright,
        {},
        BenchmarkOptions(tasks=("biology",), qrels_form="fixed", documents="long"),
        r"no fixed qrels of long documents",
    ),
    "unknown rewriting": (
        layouts.hub_bright,
        {},
        BenchmarkOptions(tasks=("biology",), rewritten="gpt4_reasons"),
        "gpt4_reasons/biology-.*did you mean gpt4_reason",
    ),
    "rewritten query missing": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet(REWRITTEN_EXAMPLES[:1])},
        REWRITTEN,
        r"gpt4_reason/biology-00000-of-00001.parquet .*'1'.*examples/.*: row 2",
    ),
    "rewritten query of nobody": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet([*REWRITTEN_EXAMPLES, EXAMPLES[0] | {"id": "7"}])},
        REWRITTEN,
        "gpt4_reason/biology-00000-of-00001.parquet: row 3.*'7'",
    ),
    "rewritten query empty": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet([REWRITTEN_EXAMPLES[0], EXAMPLES[1] | {"query": " "}])},
        REWRITTEN,
        "gpt4_reason/biology-00000-of-00001.parquet: row 2.*'1'",
    ),
    "split of BRIGHT": (
        layouts.hub_bright,
        {},
        BenchmarkOptions(split="test"),
        r"broken: BRIGHT has tasks and no splits",
    ),
    "topics without a tab": (
        layouts.trec_dl,
        {"topics.dl19-passage.txt": "1\thow\n2 why\n"},
        EVERYTHING,
        "topics.dl19-passage.txt:2",
    ),
    "topics without id": (
        layouts.trec_dl,
        {"topics.dl19-passage.txt": "1\thow\n\twhy\n"},
        EVERYTHING,
        "topics.dl19-passage.txt:2",
    ),
    "topics without qrels": (
        layouts.trec_dl,
        {"topics.dl20-passage.txt": "1\thow\n"},
        BenchmarkOptions(tasks=("dl20",)),
        "qrels.dl20-passage.txt.*dl20",
    ),
    "no passages": (
        layouts.trec_dl,
        {"bm25_top100_dl19.json": None},
        EVERYTHING,
        r"\*_dl19\.json.*collection.tsv",
    ),
    "two candidates": (
        layouts.trec_dl,
        {"splade_dl19.json": "[]"},
        EVERYTHING,
        "dl19.*bm25_top100_dl19.json.*splade_dl19.json",
    ),
    "long documents of TREC DL": (layouts.trec_dl, {}, BenchmarkOptions(documents="long"), r"broken is not BRIGHT"),
    "fixed qrels of TREC DL": (layouts.trec_dl, {}, BenchmarkOptions(qrels_form="fixed"), r"broken is not BRIGHT"),
    "quotes that do not fit": (
        layouts.novel_eval,
        {"corpus.tsv": '0-0\tx\n0-1\t"He said "no"."\n1-0\tx\n'},
        EVERYTHING,
        "corpus.tsv:2",
    ),
    "passage in three columns": (
        layouts.novel_eval,
        {"corpus.tsv": "0-0\tx\n0-1\tx\ty\n1-0\tx\n"},
        EVERYTHING,
        "corpus.tsv:2: .*3 columns",
    ),
    "no qrels of NovelEval": (layouts.novel_eval, {"qrels.txt": None}, EVERYTHING, "qrels.txt"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_benchmarks_are_told(tmp_path: Path, kind: str) -> None:
    make, changes, wanted, said = BROKEN[kind]
    with pytest.raises(InputError, match=said) as caught:
        load_tasks(make(tmp_path / "broken", changes), wanted)
    assert str(caught.value).startswith(str(tmp_path / "broken"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind, (_, changes, wanted, _) in BROKEN.items() if changes])
def test_they_are_whole_without_the_fault(tmp_path: Path, kind: str) -> None:
    """So it is the fault that is told, not something else about the folder."""
    make, _, wanted, _ = BROKEN[kind]
    if kind == "topics without qrels":
        wanted = EVERYTHING
    assert load_tasks(make(tmp_path / "broken", {}), wanted)


def test_byte_order_mark_and_crlf_are_no_fault(tmp_path: Path) -> None:
    def dressed(text: str) -> bytes:
        return ("\ufeff" + text.replace("\n", "\r\n")).encode()

    plain = layouts.trec_dl(tmp_path / "plain")
    changes: dict[str, Any] = {path.name: dressed(path.read_text()) for path in plain.iterdir()}
    assert load_tasks(layouts.trec_dl(tmp_path / "dressed", changes)) == load_tasks(plain)
    plain = layouts.novel_eval(tmp_path / "NovelEval")
    changes = {path.name: dressed(path.read_text()) for path in plain.iterdir()}
    assert load_tasks(layouts.novel_eval(tmp_path / "2" / "NovelEval", changes)) == load_tasks(plain)
    plain = layouts.topics_bright(tmp_path / "bright")
    changes = {str(path.relative_to(plain)): dressed(path.read_text()) for path in plain.rglob("*.*") if path.is_file()}
    assert load_tasks(layouts.topics_bright(tmp_path / "2" / "bright", changes), NO_TEXT) == load_tasks(plain, NO_TEXT)


def test_one_file_of_qrels_is_of_one_task(tmp_path: Path) -> None:
    folder = layouts.hub_bright(tmp_path)
    qrels = tmp_path / "mine.txt"
    qrels.write_text("0\t0\tunasked.txt\t1\n")
    with pytest.raises(InputError, match=r"biology and aops.*qrels"):
        load_tasks(folder, BenchmarkOptions(qrels=qrels))
    [task] = load_tasks(folder, BenchmarkOptions(qrels=qrels, tasks=("aops",)))
    assert [tuple(qrel) for qrel in task.qrels] == [("0", "unasked.txt", 1)]


def test_where_there_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_tasks(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"queries\.jsonl"):
        load_tasks(tmp_path)
    file = layouts.trec_dl(tmp_path) / "bm25_top100_dl19.json"
    with pytest.raises(InputError, match="without human judgments"):
        load_tasks(file)
