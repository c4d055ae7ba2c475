"""Folders in BEIR's layout, RankGPT files, and how they can be wrong."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.benchmarks import load_benchmark, read_rankgpt, task_name
from interank.ir.measures import score_run
from interank.ir.trec import read_qrels
from interank.types import Document, Qrel, Query
from tests.support.layouts import CORPUS, QUERIES, beir, rankgpt, rows

BRIGHT_CORPUS = [{"id": "a b%27.txt", "content": "one"}, {"id": "d2", "content": "two"}]
BRIGHT_QUERIES = [
    {"id": "0", "query": "first", "excluded_ids": ["N/A"], "gold_ids": ["a b%27.txt", "d2", "d2"]},
    {"id": "1", "query": "second", "excluded_ids": ["d2", "beyond"], "gold_ids": ["a b%27.txt"]},
]


def test_beir_folder(tmp_path: Path) -> None:
    folder = beir(tmp_path / "my-task", bm25__trec="q2 Q0 d1 1 3 x\nq9 Q0 d9 1 3 x\nq1 Q0 d2 1 2 x\n")
    benchmark = load_benchmark(folder)
    assert benchmark.name == "my_task"
    assert benchmark.queries == {"q1": Query("q1", "first"), "q2": Query("q2", "second")}
    assert list(benchmark.documents().values()) == [
        Document("d1", "one", "T"),
        Document("d2", ""),
        Document("d3", "3"),
    ]
    assert benchmark.qrels == [Qrel("q1", "d1", 2), Qrel("q2", "d3", 0)]
    assert benchmark.excluded == {}
    assert benchmark.unjudged_query_count == 0
    assert benchmark.run is not None
    assert list(benchmark.run) == ["q1", "q2"]  # q9, which nobody asks, needs no document


def test_queries_bring_instructions(tmp_path: Path) -> None:
    texts = {"q1": "Cite statutes.", "q2": None}
    queries = [{"_id": name, "text": "why", "instruction": text} for name, text in texts.items()]
    benchmark = load_benchmark(beir(tmp_path / "task", queries__jsonl=rows(queries)))
    assert {name: query.instruction for name, query in benchmark.queries.items()} == texts
    with pytest.raises(InputError, match=r"queries\.jsonl:1: instruction is \[1\], where a text is needed"):
        load_benchmark(beir(tmp_path / "bad", queries__jsonl=rows([{**queries[0], "instruction": [1]}])))


def test_bright_folder_without_qrels_takes_gold_ids(tmp_path: Path) -> None:
    folder = beir(tmp_path, corpus__jsonl=rows(BRIGHT_CORPUS), queries__jsonl=rows(BRIGHT_QUERIES), qrels__tsv=None)
    benchmark = load_benchmark(folder)
    assert benchmark.queries["0"] == Query("0", "first")
    assert benchmark.documents()["a b%27.txt"] == Document("a b%27.txt", "one")
    assert benchmark.qrels == [Qrel("0", "a b%27.txt", 1), Qrel("0", "d2", 1), Qrel("1", "a b%27.txt", 1)]
    assert benchmark.excluded == {"1": frozenset({"d2", "beyond"})}
    assert benchmark.run is None


def test_qrels_files_go_before_gold_ids(tmp_path: Path) -> None:
    qrels = "0\t0\ta b%27.txt\t2\n"
    folder = beir(tmp_path, corpus__jsonl=rows(BRIGHT_CORPUS), queries__jsonl=rows(BRIGHT_QUERIES), qrels__tsv=qrels)
    benchmark = load_benchmark(folder)
    assert benchmark.qrels == [Qrel("0", "a b%27.txt", 2)]
    assert list(benchmark.queries) == ["0"]
    assert benchmark.unjudged_query_count == 1


def test_packed_files_with_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    def packed(text: str) -> bytes:
        return gzip.compress(("\ufeff" + text.replace("\n", "\r\n")).encode())

    expected = load_benchmark(beir(tmp_path / "plain" / "x"))
    folder = beir(
        tmp_path / "packed" / "x",
        corpus__jsonl=None,
        queries__jsonl=None,
        corpus__jsonl__gz=packed(rows(CORPUS)),
        queries__jsonl__gz=packed(rows(QUERIES)),
    )
    assert load_benchmark(folder) == expected


def test_splits_are_named_or_refused(tmp_path: Path) -> None:
    folder = beir(
        tmp_path,
        qrels__tsv=None,
        qrels_in_test__tsv="q1\td1\t1\n",
        qrels__train__tsv="q2\td1\t1\n",
    )
    with pytest.raises(InputError, match=r"test and train.*split=test"):
        load_benchmark(folder)
    with pytest.raises(InputError, match=r"no split 'dev'.*test and train"):
        load_benchmark(folder, "dev")
    assert list(load_benchmark(folder, "test").queries) == ["q1"]
    assert list(load_benchmark(folder, "train").queries) == ["q2"]


def test_a_single_split_need_not_be_named(tmp_path: Path) -> None:
    folder = beir(
        tmp_path,
        queries__jsonl=None,
        queries__test__jsonl=rows(QUERIES),
        qrels__tsv=None,
        qrels__test__tsv="q1 0 d1 1",
    )
    assert load_benchmark(folder) == load_benchmark(folder, "test")
    with pytest.raises(InputError, match="no split 'test'"):
        load_benchmark(beir(tmp_path / "unsplit"), "test")


def test_files_beside_a_split_are_ambiguous_unless_it_is_named(tmp_path: Path) -> None:
    folder = beir(tmp_path, qrels__test__tsv="q1 0 d2 1")
    with pytest.raises(InputError, match="splits test, and files"):
        load_benchmark(folder)
    assert load_benchmark(folder, "test").qrels == [Qrel("q1", "d2", 1)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"corpus__jsonl__gz": gzip.compress(b"{}")}, "both corpus.jsonl and corpus.jsonl.gz"),
        (
            {"qrels__t__tsv": "q1 0 d1 1", "qrels_in_t__tsv": "q1 0 d1 1"},
            "both qrels.t.tsv and qrels/t.tsv",
        ),
        ({"a__trec": "q1 Q0 d1 1 1 x", "run__txt": "q1 Q0 d1 1 1 x"}, "a.trec.*run.txt"),
        ({"corpus__jsonl": None}, "corpus.jsonl"),
        ({"queries__jsonl": None}, "queries.jsonl"),
        ({"qrels__tsv": None}, "neither qrels nor gold_ids"),
        ({"corpus__jsonl": ""}, "corpus.jsonl"),
        (
            {"corpus__jsonl": '{"_id": "d1", "text": "x"}\n\n{"_id": '},
            "corpus.jsonl:3",
        ),
        ({"corpus__jsonl": '["d1"]'}, "corpus.jsonl:1.*'d1'"),
        ({"corpus__jsonl": '{"_id": "d1", "body": "x"}'}, ":1.*_id"),
        ({"corpus__jsonl": '{"text": "x"}'}, ":1.*_id"),
        ({"corpus__jsonl": '{"_id": "", "text": "x"}'}, ":1.*_id"),
        (
            {"corpus__jsonl": '{"_id": "d", "text": null}'},
            r":1: text or content is None",
        ),
        (
            {"corpus__jsonl": rows([*CORPUS, CORPUS[0] | {"text": "other"}])},
            "corpus.jsonl:4.*'d1'",
        ),
        (
            {"queries__jsonl": rows([*QUERIES, QUERIES[1]])},
            "queries.jsonl:3.*'q2'",
        ),
        (
            {"queries__jsonl": '{"_id": "q1", "text": " "}'},
            "queries.jsonl:1.*'q1'",
        ),
        (
            {"queries__jsonl": '{"_id": "q1", "text": "x", "excluded_ids": "d1"}'},
            "excluded_ids.*'d1'",
        ),
        (
            {"qrels__tsv": "q1 0 d8 1\nq1 0 d9 1\nq1 0 d1 1"},
            "qrels.tsv:1.*'d8'",
        ),
        (
            {"qrels__tsv": "x 0 d1 1\ny 0 d1 1"},
            "qrels.tsv:1.*'x'",
        ),
        (
            {"run__trec": "q1 Q0 d9 1 1 x"},
            "run.trec:1.*'d9'",
        ),
        (
            {"corpus__jsonl": gzip.compress(rows(CORPUS).encode())[:-5]},
            "corpus.jsonl: the gzip stream is cut",
        ),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        load_benchmark(beir(tmp_path, **changes))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        load_benchmark(tmp_path / "nowhere")


def test_documents_that_stand_twice_are_kept_once(tmp_path: Path) -> None:
    folder = beir(tmp_path, corpus__jsonl=rows([*CORPUS, CORPUS[0], CORPUS[0]]))
    benchmark = load_benchmark(folder)
    assert list(benchmark.documents()) == ["d1", "d2", "d3"]
    assert benchmark.counts["repeated_documents"] == 2
    assert benchmark.counts["empty_documents"] == 1


def test_the_files_that_were_read_are_told(tmp_path: Path) -> None:
    folder = beir(tmp_path, run__trec="q1 Q0 d1 1 3 x\n", excluded_source_docs__tsv="q1\t0\td3\t-1\n")
    names = {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "qrels": "qrels.tsv", "run": "run.trec"}
    names["exclusions"] = "excluded_source_docs.tsv"
    benchmark = load_benchmark(folder)
    assert benchmark.sources == {role: (folder / name,) for role, name in names.items()}
    assert benchmark.counts["excluded_in_corpus"] == 1


def test_queries_without_qrels_may_be_empty(tmp_path: Path) -> None:
    folder = beir(tmp_path, queries__jsonl=rows([*QUERIES, {"_id": "q3", "text": ""}]))
    benchmark = load_benchmark(folder)
    assert list(benchmark.queries) == ["q1", "q2"]
    assert benchmark.unjudged_query_count == 1


def test_qrels_of_unknown_queries_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = beir(tmp_path, qrels__tsv="q1 0 d1 1\nq7 0 d9 1\n")
    with caplog.at_level(logging.WARNING):
        assert load_benchmark(folder).qrels == [Qrel("q1", "d1", 1)]
    assert "1 query ids, the first 'q7'" in caplog.text


def test_exclusions_from_both_sources(tmp_path: Path) -> None:
    queries = [
        {"id": "q1", "query": "x", "excluded_ids": ["d2"]},
        {"id": "q2", "query": "y", "excluded_ids": ["N/A"]},
    ]
    folder = beir(tmp_path, queries__jsonl=rows(queries), excluded_source_docs__tsv="q1\t0\td3\t-1\nq5\t0\td3\t-1\n")
    assert load_benchmark(folder).excluded == {"q1": frozenset({"d2", "d3"})}


def test_the_run_of_the_split_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = beir(
        tmp_path,
        qrels__tsv=None,
        qrels__test__tsv="q1 0 d1 1",
        qrels__train__tsv="q2 0 d1 1",
        run__test__trec="q1 Q0 d2 1 1 x",
    )
    taken = load_benchmark(folder, "test").run
    assert taken is not None
    assert taken.doc_ids("q1") == ["d2"]
    assert load_benchmark(folder, "train").run is None
    assert "ranks none of the evaluated queries" in caplog.text
    (folder / "run.train.trec").write_text("q2 Q0 d3 1 1 x")
    taken = load_benchmark(folder, "train").run
    assert taken is not None
    assert taken.doc_ids("q2") == ["d3"]


def test_task_names_are_brights() -> None:
    assert task_name("sustainable-living") == task_name("sustainable_living") == "sustainable_living"


def test_rankgpt(tmp_path: Path) -> None:
    items = [
        rankgpt("first", (7, "a", "text a", 1.0), (7, "b", "text b", 2), (7, "c", "text c", 1.0)),
        rankgpt("second", ("8", "a", "text a", 0.5)),
    ]
    plain, packed = tmp_path / "x.json", tmp_path / "x.json.gz"
    plain.write_text(json.dumps(items, indent=1))
    packed.write_bytes(gzip.compress(json.dumps(items).encode()))
    queries, documents, run = read_rankgpt(plain)
    assert queries == [Query("7", "first"), Query("8", "second")]
    assert documents == {doc_id: Document(doc_id, f"text {doc_id}") for doc_id in "bac"}
    assert run.doc_ids("7") == ["b", "a", "c"]
    assert run.doc_ids("8") == ["a"]
    assert read_rankgpt(packed) == (queries, documents, run)


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ({}, "RankGPT"),
        ([], "RankGPT"),
        ([rankgpt("x")], r"query 1: hits.*\[\]"),
        ([rankgpt(" ", (1, "a", "t", 1))], "query 1"),
        ([rankgpt("x", (1, "a", "t", 1), (2, "b", "t", 1))], "query 1, hit 2.*'2'.*'1'"),
        (
            [rankgpt("x", (1, "a", "t", 1)), rankgpt("y", (1, "a", "t", 1))],
            "query 2.*'1'",
        ),
        (
            [rankgpt("x", (1, "a", "t", 1)), rankgpt("y", (2, "a", "u", 1))],
            "query 2, hit 1",
        ),
        ([rankgpt("x", (1, "a", "t", float("nan")))], "hit 1: .*nan"),
        ([rankgpt("x", (1, "a", "t", "1.0"))], "hit 1: .*'1.0'"),
        ([rankgpt("x", (1, "a", "t", 1), (1, "a", "t", 1))], "document 'a' is ranked twice"),
        ([{"query": "x"}], "query 1 .*hits.*query"),
    ],
)
def test_bad_rankgpt_is_refused(tmp_path: Path, items: object, found: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(items))
    with pytest.raises(InputError, match=found):
        read_rankgpt(path)
    path.write_text(json.dumps(items)[:-1])
    with pytest.raises(InputError, match="is not JSON"):
        read_rankgpt(path)


@pytest.mark.real_data
def test_real_rankgpt_file(real_data: Path) -> None:
    queries, documents, run = read_rankgpt(real_data / "trecdl" / "bm25_top100_dl19.json.gz")
    assert len(queries) == len(run) == 43
    assert all(documents.keys() >= {*run.doc_ids(query_id)} for query_id in run)
    scores = score_run(read_qrels(real_data / "trecdl" / "qrels.dl19-passage.txt"), run)
    assert f"{scores.mean['nDCG@10']:.4f}" == "0.5058"


@pytest.mark.real_data
def test_real_folders(real_data: Path) -> None:
    with pytest.raises(InputError, match="splits test and train"):
        load_benchmark(real_data / "beir" / "scifact")
    train = load_benchmark(real_data / "beir" / "scifact", "train")
    assert (len(train.queries), train.run) == (809, None)
    cranfield = load_benchmark(real_data / "classic" / "cranfield")
    assert cranfield.excluded["1"] == {"486"}
    cacm = load_benchmark(real_data / "classic" / "cacm")
    assert (len(cacm.queries), cacm.unjudged_query_count) == (52, 13)
    aops = load_benchmark(real_data / "bright" / "aops_text")
    assert len(aops.excluded) == 111
    assert aops.run is not None
    assert aops.run.without(aops.excluded) == aops.run  # the stored run was made with exclusions


@pytest.mark.real_data
def test_gold_ids_say_what_brights_qrels_say(real_data: Path, tmp_path: Path) -> None:
    for path in sorted((real_data / "bright" / "topics").glob("*.jsonl.gz")):
        topics = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        gold_ids = dict.fromkeys(doc_id for topic in topics for doc_id in topic["gold_ids"])
        folder = beir(
            tmp_path / path.stem,
            queries__jsonl=None,
            queries__jsonl__gz=path.read_bytes(),
            corpus__jsonl=rows([{"id": doc_id, "content": "x"} for doc_id in gold_ids]),
            qrels__tsv=None,
        )
        benchmark = load_benchmark(folder)
        recorded = read_qrels(real_data / "bright" / "qrels" / path.name.replace(".jsonl.gz", ".txt"))
        assert set(benchmark.qrels) == set(recorded), path
        assert not any("N/A" in doc_ids for doc_ids in benchmark.excluded.values())
