"""Broken benchmarks: each is told in a sentence with the file, and with the line or row where there is one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.benchmarks import EVERYTHING, Wanted, load_tasks
from tests.support import layouts
from tests.support.layouts import CORPUS, DOCUMENTS, EXAMPLES, PART, QUERIES, REWRITTEN_EXAMPLES, parquet, rows

Make = Callable[[Path, dict[str, Any]], Path]

NO_TEXT = Wanted(need_text=False)
BIOLOGY = Wanted(tasks=("biology",))
REWRITTEN = Wanted(tasks=("biology",), rewritten="gpt4_reason")
GOOD = parquet(EXAMPLES)


def beir(path: Path, changes: dict[str, Any]) -> Path:
    files = {"corpus.jsonl": rows(CORPUS), "queries.jsonl": rows(QUERIES), "qrels.tsv": "q1\t0\td1\t2\nq2\t0\td3\t0\n"}
    return layouts.put(path, files | changes)


# By layout: what is broken, what was asked for, what is said.
BROKEN: dict[str, tuple[Make, dict[str, Any], Wanted, str]] = {
    "no qrels": (beir, {"qrels.tsv": None}, EVERYTHING, r"broken: found neither qrels nor gold_ids"),
    "no corpus": (beir, {"corpus.jsonl": None}, EVERYTHING, r"broken: found no corpus.jsonl"),
    "no queries": (beir, {"queries.jsonl": None}, EVERYTHING, r"broken: found no queries.jsonl"),
    "qrels of other queries": (beir, {"qrels.tsv": "x 0 d1 1\n"}, EVERYTHING, r"qrels.tsv:1: found 1 query ids"),
    "judged document not in the corpus": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq1 0 d7 1\n"},
        EVERYTHING,
        r"qrels.tsv:2: found 1 document ids that the corpus lacks, the first 'd7'",
    ),
    "ranked document not in the corpus": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d7 2 1 t\n"},
        EVERYTHING,
        r"run.trec:2: found 1 document ids that the corpus lacks",
    ),
    "JSON nested too deeply": (
        beir,
        {"queries.jsonl": rows(QUERIES) + "[" * 200_000 + "\n"},
        EVERYTHING,
        r"queries.jsonl:\d+: found what is not JSON \(it is nested too deeply\)",
    ),
    "a number of thousands of digits": (
        beir,
        {"queries.jsonl": rows(QUERIES) + "9" * 5000 + "\n"},
        EVERYTHING,
        r"queries.jsonl:\d+: found what is not JSON \(Exceeds the limit",
    ),
    "a relevance of thousands of digits": (
        beir,
        {"qrels.tsv": f"q1 0 d1 {'9' * 5000}\n"},
        EVERYTHING,
        r"qrels.tsv:1: found the relevance",
    ),
    "NaN in a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d2 2 nan t\n"},
        EVERYTHING,
        r"run.trec:2: found the score nan",
    ),
    "line twice in a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\n" * 2},
        EVERYTHING,
        r"run.trec:2: found query 'q1' with document 'd1' a second time",
    ),
    "line twice in qrels": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq1 0 d1 1\n"},
        EVERYTHING,
        r"qrels.tsv:2: found query 'q1' with document 'd1' a second time",
    ),
    "columns of qrels": (beir, {"qrels.tsv": "q1 0 d1 1\nq2 d3\n"}, EVERYTHING, r"qrels.tsv:2: found 2 columns"),
    "columns of a run": (
        beir,
        {"run.trec": "q1 Q0 d1 1 2 t\nq1 Q0 d2 2 1\n"},
        EVERYTHING,
        r"run.trec:2: found 5 columns",
    ),
    "relevance in words": (
        beir,
        {"qrels.tsv": "q1 0 d1 1\nq2 0 d3 relevant\n"},
        EVERYTHING,
        r"qrels.tsv:2: found the relevance 'relevant'; expected an integer",
    ),
    "empty query": (
        beir,
        {"queries.jsonl": rows([QUERIES[0], {"_id": "q2", "text": " "}])},
        EVERYTHING,
        r"queries.jsonl:2: found no text for the query 'q2'",
    ),
    "query twice": (
        beir,
        {"queries.jsonl": rows([*QUERIES, QUERIES[0]])},
        EVERYTHING,
        r"queries.jsonl:3: found the id 'q1' a second time",
    ),
    "document twice with another text": (
        beir,
        {"corpus.jsonl": rows([*CORPUS, {"_id": "d2", "text": "else"}])},
        EVERYTHING,
        r"corpus.jsonl:4: found the id 'd2' a second time, with another text",
    ),
    "empty file": (beir, {"corpus.jsonl": ""}, EVERYTHING, r"corpus.jsonl: found no row"),
    "empty qrels": (beir, {"qrels.tsv": ""}, EVERYTHING, r"qrels.tsv: found no judgment"),
    "not JSON": (
        beir,
        {"corpus.jsonl": rows(CORPUS) + '{"_id": "d4"\n'},
        EVERYTHING,
        r"corpus.jsonl:4: found what is not JSON",
    ),
    "no columns": (
        beir,
        {"corpus.jsonl": rows(CORPUS) + '"d4"\n'},
        EVERYTHING,
        r"corpus.jsonl:4: found 'd4'; expected a JSON object",
    ),
    "half a character": (
        beir,
        {"corpus.jsonl": rows([*CORPUS, {"_id": "d4", "text": "a \ud83d b"}])},
        EVERYTHING,
        r"corpus.jsonl:4: found '\\ud83d', half a character",
    ),
    "half a character in a query": (
        beir,
        {"queries.jsonl": rows([{"_id": "q1", "text": "\udc00"}])},
        EVERYTHING,
        r"queries.jsonl:1: found '\\udc00', half a character",
    ),
    "not UTF-8": (
        beir,
        {"corpus.jsonl": rows(CORPUS).encode() + b'{"_id": "d4", "text": "caf\xe9"}\n'},
        EVERYTHING,
        r"corpus.jsonl:4: found bytes that are not UTF-8",
    ),
    "UTF-16": (
        beir,
        {"qrels.tsv": "q1\t0\td1\t2\n".encode("utf-16")},
        EVERYTHING,
        r"qrels.tsv:1: found bytes that are not UTF-8",
    ),
    "cut gzip": (
        beir,
        {"corpus.jsonl": None, "corpus.jsonl.gz": gzip.compress(rows(CORPUS).encode())[:-6]},
        EVERYTHING,
        r"corpus.jsonl.gz: the gzip stream is cut",
    ),
    "unknown split": (beir, {}, Wanted(split="tset"), r"broken: found no split 'tset'"),
    "unknown task": (beir, {}, Wanted(tasks=("brokn",)), r"broken: found no task 'brokn'; expected broken"),
    "excluded and relevant": (
        beir,
        {"excluded_source_docs.tsv": "q2 0 d1 -1\nq1 0 d1 -1\n"},
        EVERYTHING,
        r"excluded_source_docs.tsv:2: found that the query 'q1' excludes the document 'd1', which is relevant to it "
        r"\(.*qrels.tsv:1\)",
    ),
    "excluded and relevant in one row": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([EXAMPLES[1], EXAMPLES[0] | {"excluded_ids": ["a page%27s_2.txt"]}])},
        BIOLOGY,
        r"biology-00000-of-00001.parquet: row 2: found that the query '0' excludes the document 'a page%27s_2.txt'",
    ),
    "unknown BRIGHT task": (
        layouts.hub_bright,
        {},
        Wanted(tasks=("biolgy",)),
        r"broken: found no task 'biolgy'; expected biology \(there are biology, aops\)",
    ),
    "no BRIGHT documents": (
        layouts.topics_bright,
        {},
        EVERYTHING,
        r"broken: found no documents/sustainable_living-.*hf download xlangai/BRIGHT",
    ),
    "gold not in BRIGHT's documents": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet(DOCUMENTS[:2])},
        BIOLOGY,
        r"examples/biology-00000-of-00001.parquet: row 2: found 1 document ids that the corpus lacks",
    ),
    "document of BRIGHT twice with another text": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet([*DOCUMENTS, {"id": "unasked.txt", "content": "else"}])},
        BIOLOGY,
        r"documents/biology-00000-of-00001.parquet: row 6: found the id 'unasked.txt' a second time",
    ),
    "empty BRIGHT query": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([EXAMPLES[0], EXAMPLES[1] | {"query": ""}])},
        BIOLOGY,
        r"examples/biology-00000-of-00001.parquet: row 2: found no text for the query '1'",
    ),
    "ids that are no list": (
        layouts.hub_bright,
        {f"examples/biology{PART}": parquet([row | {"gold_ids": "d1"} for row in EXAMPLES])},
        BIOLOGY,
        r"biology-00000-of-00001.parquet: row 1: found 'd1' as gold_ids; expected a list",
    ),
    "column missing in Parquet": (
        layouts.hub_bright,
        {f"documents/biology{PART}": parquet([{"id": "a", "body": "x"}])},
        BIOLOGY,
        r"documents/biology-00000-of-00001.parquet: row 1: found the columns id, body; expected text or content",
    ),
    "cut Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": GOOD[: len(GOOD) // 2]},
        BIOLOGY,
        r"examples/biology-00000-of-00001.parquet: row 1: cannot be read as Parquet",
    ),
    "damaged Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": GOOD[:4] + bytes(200) + GOOD[204:]},
        BIOLOGY,
        r"examples/biology-00000-of-00001.parquet: row 1: cannot be read as Parquet",
    ),
    "empty Parquet": (
        layouts.hub_bright,
        {f"examples/biology{PART}": b""},
        BIOLOGY,
        r"examples/biology-00000-of-00001.parquet: row 1: cannot be read as Parquet",
    ),
    "part missing": (
        layouts.hub_bright,
        {f"examples/biology{PART}": None, "examples/biology-00001-of-00002.parquet": GOOD},
        BIOLOGY,
        r"examples: found 1 of 2 files of biology, the last biology-00001-of-00002.parquet",
    ),
    "two forms": (
        layouts.hub_bright,
        {"documents/biology.jsonl": rows(DOCUMENTS)},
        BIOLOGY,
        r"documents: found both biology.* and biology.*; expected one form",
    ),
    "qrels form that is not there": (
        layouts.hub_bright,
        {},
        Wanted(tasks=("biology",), qrels_form="fixed"),
        r"broken: found no qrels/biology.fixed.txt.*or take qrels_form=original",
    ),
    "fixed qrels of long documents": (
        layouts.hub_bright,
        {},
        Wanted(tasks=("biology",), qrels_form="fixed", documents="long"),
        r"broken: there are no fixed qrels of long documents",
    ),
    "unknown rewriting": (
        layouts.hub_bright,
        {},
        Wanted(tasks=("biology",), rewritten="gpt4_reasons"),
        r"broken: found no gpt4_reasons/biology-.*of gpt4_reason; did you mean gpt4_reason\?",
    ),
    "rewritten query missing": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet(REWRITTEN_EXAMPLES[:1])},
        REWRITTEN,
        r"gpt4_reason/biology-00000-of-00001.parquet: found no query '1', which stands at .*examples/.*: row 2",
    ),
    "rewritten query of nobody": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet([*REWRITTEN_EXAMPLES, EXAMPLES[0] | {"id": "7"}])},
        REWRITTEN,
        r"gpt4_reason/biology-00000-of-00001.parquet: row 3: found the query '7', which the original queries lack",
    ),
    "rewritten query empty": (
        layouts.hub_bright,
        {f"gpt4_reason/biology{PART}": parquet([REWRITTEN_EXAMPLES[0], EXAMPLES[1] | {"query": " "}])},
        REWRITTEN,
        r"gpt4_reason/biology-00000-of-00001.parquet: row 2: found no text for the query '1'",
    ),
    "split of BRIGHT": (layouts.hub_bright, {}, Wanted(split="test"), r"broken: BRIGHT has tasks and no splits"),
    "topics without a tab": (
        layouts.trec_dl,
        {"topics.dl19-passage.txt": "1\thow\n2 why\n"},
        EVERYTHING,
        r"topics.dl19-passage.txt:2: found 1 columns parted by tabs; expected 2",
    ),
    "topics without id": (
        layouts.trec_dl,
        {"topics.dl19-passage.txt": "1\thow\n\twhy\n"},
        EVERYTHING,
        r"topics.dl19-passage.txt:2: found an empty id",
    ),
    "topics without qrels": (
        layouts.trec_dl,
        {"topics.dl20-passage.txt": "1\thow\n"},
        Wanted(tasks=("dl20",)),
        r"broken: found no qrels of dl20; expected qrels.dl20-passage.txt",
    ),
    "no passages": (
        layouts.trec_dl,
        {"bm25_top100_dl19.json": None},
        EVERYTHING,
        r"broken: found neither candidates with text \(\*_dl19.json\) nor collection.tsv",
    ),
    "two candidates": (
        layouts.trec_dl,
        {"splade_dl19.json": "[]"},
        EVERYTHING,
        r"broken: found the candidates of dl19 bm25_top100_dl19.json, splade_dl19.json; expected one",
    ),
    "long documents of TREC DL": (layouts.trec_dl, {}, Wanted(documents="long"), r"broken: is not BRIGHT"),
    "fixed qrels of TREC DL": (layouts.trec_dl, {}, Wanted(qrels_form="fixed"), r"broken: is not BRIGHT"),
    "quotes that do not fit": (
        layouts.novel_eval,
        {"corpus.tsv": '0-0\tx\n0-1\t"He said "no"."\n1-0\tx\n'},
        EVERYTHING,
        r"corpus.tsv:2: found quotes that do not fit",
    ),
    "passage in three columns": (
        layouts.novel_eval,
        {"corpus.tsv": "0-0\tx\n0-1\tx\ty\n1-0\tx\n"},
        EVERYTHING,
        r"corpus.tsv:2: found 3 columns",
    ),
    "no qrels of NovelEval": (layouts.novel_eval, {"qrels.txt": None}, EVERYTHING, r"broken: found no qrels.txt"),
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
    with pytest.raises(InputError, match=r"2 tasks \(biology, aops\)"):
        load_tasks(folder, Wanted(qrels=qrels))
    [task] = load_tasks(folder, Wanted(qrels=qrels, tasks=("aops",)))
    assert [tuple(qrel) for qrel in task.qrels] == [("0", "unasked.txt", 1)]


def test_where_there_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        load_tasks(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no benchmark.*queries\.jsonl"):
        load_tasks(tmp_path)
    file = layouts.trec_dl(tmp_path) / "bm25_top100_dl19.json"
    with pytest.raises(InputError, match="without human judgments"):
        load_tasks(file)
