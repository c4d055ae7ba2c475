"""Tasks of every layout: what is read, what is told of it, and what real collections hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.ir.benchmarks import BRIGHT_TASKS, BenchmarkOptions, load_tasks, read_candidates
from interank.ir.measures import score_run
from interank.types import Document, Qrel, Query
from tests.support import layouts as made
from tests.support.layouts import DOCUMENTS, EXAMPLES, LONG_DOCUMENTS, PART, parquet, rows

NO_TEXT = BenchmarkOptions(need_text=False)


def test_bright_from_the_hubs_layout(tmp_path: Path) -> None:
    folder = made.hub_bright(tmp_path)
    biology, aops = load_tasks(folder)
    assert (biology.name, aops.name) == ("biology", "aops")
    assert biology.queries == {"0": Query("0", "first"), "1": Query("1", "second")}
    assert list(biology.documents().values()) == [
        Document("a page%27s_1.txt", "one"),
        Document("a page%27s_2.txt", "two"),
        Document("another_1.txt", "three"),
        Document("unasked.txt", "four"),
    ]
    assert biology.qrels == [
        Qrel("0", "a page%27s_1.txt", 1),
        Qrel("0", "a page%27s_2.txt", 1),
        Qrel("1", "another_1.txt", 1),
    ]
    assert biology.excluded == {"1": {"a page%27s_1.txt", "elsewhere"}}
    assert biology.run is biology.first_stage_queries is None
    assert biology.counts == {
        "excluded_in_corpus": 1,
        "judged_not_in_corpus": 0,
        "repeated_documents": 1,
        "repeated_gold_ids": 1,
        "unjudged_queries": 0,
    }
    assert biology.sources == {
        "queries": (folder / f"examples/biology{PART}",),
        "corpus": (folder / f"documents/biology{PART}",),
    }


def test_bright_says_the_same_as_jsonl_and_in_parts(tmp_path: Path) -> None:
    [expected] = load_tasks(made.hub_bright(tmp_path / "whole"), BenchmarkOptions(tasks=("biology",)))
    lines = {"examples/biology.jsonl": rows(EXAMPLES), "documents/biology.jsonl": rows(DOCUMENTS)}
    parts = {
        "examples/biology-00000-of-00002.parquet": parquet(EXAMPLES[:1]),
        "examples/biology-00001-of-00002.parquet": parquet(EXAMPLES[1:]),
        "documents/biology-00000-of-00002.parquet": parquet(DOCUMENTS[:4]),
        "documents/biology-00001-of-00002.parquet": parquet(DOCUMENTS[4:]),
    }
    assert load_tasks(made.put(tmp_path / "lines", dict(lines))) == [expected]
    assert load_tasks(made.put(tmp_path / "parts", dict(parts))) == [expected]


def test_long_documents_have_their_own_gold(tmp_path: Path) -> None:
    folder = made.hub_bright(tmp_path)
    [biology] = load_tasks(folder, BenchmarkOptions(documents="long"))  # aops has none and is not asked for
    assert list(biology.documents()) == [row["id"] for row in LONG_DOCUMENTS]
    assert biology.qrels == [Qrel("0", "a page.txt", 1), Qrel("1", "another.txt", 1)]
    with pytest.raises(InputError, match="gold_ids_long"):
        load_tasks(folder, BenchmarkOptions(documents="long", tasks=("aops",)))


def test_rewritten_queries_are_the_first_stages_only(tmp_path: Path) -> None:
    [biology] = load_tasks(made.hub_bright(tmp_path), BenchmarkOptions(tasks=("biology",), rewritten="gpt4_reason"))
    assert biology.queries["0"].text == "first"
    assert biology.first_stage_queries == {"0": "thought of first", "1": "thought of second"}
    assert biology.sources["first_stage_queries"] == (tmp_path / f"gpt4_reason/biology{PART}",)


def test_both_forms_of_brights_qrels(tmp_path: Path) -> None:
    folder = made.topics_bright(tmp_path)
    [original] = load_tasks(folder, NO_TEXT)
    [fixed] = load_tasks(folder, BenchmarkOptions(need_text=False, qrels_form="fixed", tasks=("Sustainable-Living",)))
    assert original.name == fixed.name == "sustainable_living"
    assert original.corpus is None
    assert "qrels" not in original.sources
    assert fixed.sources["qrels"] == (folder / "qrels/sustainable-living.fixed.txt",)
    assert fixed.qrels == [*original.qrels, Qrel("1", "unasked.txt", 1)]


def test_queries_without_gold_take_the_original_qrels(tmp_path: Path) -> None:
    topics = [{"id": row["id"], "query": row["query"]} for row in EXAMPLES]
    folder = made.topics_bright(tmp_path, {"topics/sustainable-living.jsonl": rows(topics)})
    [task] = load_tasks(folder, NO_TEXT)
    assert task.sources["qrels"] == (folder / "qrels/sustainable-living.txt",)
    assert len(task.qrels) == 3


def test_what_was_read_without_text_says_so(tmp_path: Path) -> None:
    [task] = load_tasks(made.topics_bright(tmp_path), NO_TEXT)
    with pytest.raises(InputError, match="sustainable_living"):
        task.documents()


def test_tasks_come_in_the_order_asked(tmp_path: Path) -> None:
    folder = made.hub_bright(tmp_path)
    assert [task.name for task in load_tasks(folder, BenchmarkOptions(tasks=("aops", "biology", "AoPS")))] == [
        "aops",
        "biology",
    ]


def test_a_folder_of_folders(tmp_path: Path) -> None:
    made.beir(tmp_path / "sci-fact")
    made.beir(tmp_path / "cqadupstack" / "english")
    made.beir(tmp_path / "cqadupstack" / "web-masters")
    (tmp_path / ".cache").mkdir()
    names = [task.name for task in load_tasks(tmp_path)]
    assert names == ["cqadupstack_english", "cqadupstack_web_masters", "sci_fact"]
    [task] = load_tasks(tmp_path / "cqadupstack", BenchmarkOptions(tasks=("english",)))
    assert task.name == "english"
    assert load_tasks(tmp_path / "sci-fact", BenchmarkOptions(tasks=("sci_fact",)))[0].name == "sci_fact"


@pytest.mark.parametrize("name", ["qrels", "qrels.txt", "qrels.tsv"])
def test_ones_own_folder(tmp_path: Path, name: str) -> None:
    folder = made.beir(tmp_path / "mine", qrels__tsv=None)
    (folder / name).write_text("q1 0 d1 1\n")
    [mine] = load_tasks(folder)
    assert mine.qrels == [Qrel("q1", "d1", 1)]
    assert mine.counts["unjudged_queries"] == 1
    [without] = load_tasks(folder, NO_TEXT)
    assert without.corpus is None
    assert without.qrels == mine.qrels


def test_trec_dl(tmp_path: Path) -> None:
    [task] = load_tasks(made.trec_dl(tmp_path))
    assert task.name == "dl19"
    assert list(task.queries) == ["1", "2"]
    assert task.documents()["11"] == Document("11", "passage eleven")
    assert task.run is not None
    assert task.run.doc_ids("1") == ["10", "11"]
    assert task.counts["judged_not_in_corpus"] == 1
    assert task.counts["unjudged_queries"] == 1


def test_trec_dl_from_the_collection(tmp_path: Path) -> None:
    collection = "".join(f'{n}\tpassage "{n}\n' for n in range(8, 15))
    changes: dict[str, made.Content] = {
        "bm25_top100_dl19.json": None,
        "collection.tsv": collection,
        "bm25.dl19.trec": "1 Q0 13 1 2 bm25\n",
        "msmarco-test2020-queries.tsv": "1\thow\n",
        "2020qrels-pass.txt": "1 0 9 1\n",
    }
    first, second = load_tasks(made.trec_dl(tmp_path, changes))
    assert (first.name, second.name) == ("dl19", "dl20")
    assert first.documents() == second.documents()
    assert first.documents()["9"].text == 'passage "9'
    assert first.counts["judged_not_in_corpus"] == 0
    assert first.run is not None
    assert first.run.doc_ids("1") == ["13"]
    assert second.run is None
    with pytest.raises(InputError, match=r"qrels.dl19-passage.txt:2"):
        (tmp_path / "collection.tsv").write_text("10\tten\n11\televen\n13\tthirteen\n")
        load_tasks(tmp_path, BenchmarkOptions(tasks=("dl19",)))
    [partial] = load_tasks(tmp_path, BenchmarkOptions(tasks=("dl19",), partial_corpus=True))
    assert partial.counts["judged_not_in_corpus"] == 1


def test_novel_eval(tmp_path: Path) -> None:
    [task] = load_tasks(made.novel_eval(tmp_path / "NovelEval"))
    assert task.name == "NovelEval"
    assert list(task.documents().values()) == [
        Document("0-0", "The cup went north."),
        Document("0-1", 'He said "no".'),
        Document("1-0", "plain"),
    ]
    assert task.run is not None
    assert task.run.doc_ids("0") == ["0-0", "0-1"]
    assert score_run(task.qrels, task.run, ("nDCG@1", "nDCG@5")).mean == {"nDCG@1": 1.0, "nDCG@5": 1.0}
    [without] = load_tasks(tmp_path / "NovelEval", BenchmarkOptions(with_run=False, need_text=False))
    assert without.run is without.corpus is None


def test_a_rankgpt_file_with_qrels(tmp_path: Path) -> None:
    folder = made.trec_dl(tmp_path)
    wanted = BenchmarkOptions(qrels=folder / "qrels.dl19-passage.txt")
    [task] = load_tasks(folder / "bm25_top100_dl19.json", wanted)
    assert task.name == "bm25_top100_dl19"
    assert task.run is not None
    assert list(task.run) == ["1", "2"]


def test_candidates_of_a_task(tmp_path: Path) -> None:
    [task] = load_tasks(made.beir(tmp_path))
    path = tmp_path / "elsewhere"
    path.write_text("q2 Q0 d1 1 2 x\nq1 Q0 d2 1 2 x\nq7 Q0 d9 1 2 x\n")
    assert dict(read_candidates(path, task)).keys() == {"q1", "q2"}
    path.write_text("q1 Q0 d2 1 2 x\nq1 Q0 d9 1 2 x\n")
    with pytest.raises(InputError, match=r"elsewhere:2.*'d9'"):
        read_candidates(path, task)
    path.write_text("7 Q0 d2 1 2 x\n8 Q0 d2 1 2 x\n")
    with pytest.raises(InputError, match=r"elsewhere:1.*'7'"):
        read_candidates(path, task)


FROM_THE_HUB = """
import sys
from interank.ir.benchmarks import BenchmarkOptions, load_tasks
from interank.errors import InputError
try:
    [task] = load_tasks("xlangai/BRIGHT", BenchmarkOptions(tasks=("biology",), rewritten="gpt4_reason"))
except InputError as error:
    sys.exit(str(error))
assert "torch" not in sys.modules and "datasets" not in sys.modules
print(task.name, len(task.queries), len(task.documents()), task.first_stage_queries["0"])
"""


def from_the_hub(cache: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", FROM_THE_HUB]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_bright_from_the_hubs_cache(tmp_path: Path) -> None:
    data_set, commit = tmp_path / "datasets--xlangai--BRIGHT", "1" * 40
    made.hub_bright(data_set / "snapshots" / commit)
    made.put(data_set / "refs", {"main": commit})
    done = from_the_hub(tmp_path)
    assert done.stdout.strip() == "biology 2 4 thought of first", done.stderr


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    done = from_the_hub(tmp_path)
    assert "xlangai/BRIGHT is no folder" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(InputError, match=r"xlangai/BRIGHT has no task 'biologie'; did you mean biology"):
        load_tasks("xlangai/BRIGHT", BenchmarkOptions(tasks=("biologie",)))


@pytest.mark.real_data
def test_real_bright_topics(real_data: Path) -> None:
    tasks = load_tasks(real_data / "bright", NO_TEXT)
    assert [task.name for task in tasks] == [name for name in BRIGHT_TASKS if name in {task.name for task in tasks}]
    assert {task.name: len(task.queries) for task in tasks} == {
        "biology": 103,
        "economics": 103,
        "psychology": 101,
        "robotics": 101,
        "sustainable_living": 108,
        "leetcode": 142,
        "pony": 112,
        "aops": 111,
    }
    fixed = load_tasks(real_data / "bright", BenchmarkOptions(need_text=False, qrels_form="fixed"))
    assert {task.name: len(task.qrels) for task in fixed}["sustainable_living"] == 1073
    expected = json.loads((real_data / "bright" / "runs" / "expected.json").read_text())
    for name, value in expected["recomputed_ndcg10_original_qrels"]["xrr2_rr"].items():
        [task] = [task for task in tasks if task.name == name]
        run = read_candidates(real_data / "bright" / "runs" / "xrr2_rr" / f"{name}.trec.gz", task)
        assert run.without(task.excluded) == run
        assert score_run(task.qrels, run).mean["nDCG@10"] == pytest.approx(value, abs=5.1e-5)


@pytest.mark.real_data
def test_real_folders_of_tasks(real_data: Path) -> None:
    [dl19] = load_tasks(real_data / "trecdl")
    assert (dl19.name, len(dl19.queries), dl19.counts["judged_not_in_corpus"] > 0) == ("dl19", 43, True)
    assert dl19.run is not None
    assert f"{score_run(dl19.qrels, dl19.run).mean['nDCG@10']:.4f}" == "0.5058"
    assert [task.name for task in load_tasks(real_data / "classic")] == ["cacm", "cranfield"]
    [scifact] = load_tasks(real_data / "beir", BenchmarkOptions(split="test"))
    assert (scifact.name, len(scifact.queries)) == ("scifact", 300)
