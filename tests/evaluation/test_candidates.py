"""What is evaluated: which queries, which candidates, and what is refused because it does not belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.evaluation.candidates import CandidateSettings, Task, load_evaluated
from interank.types import Qrel
from tests.support.benchmark import benchmark_folder, write_jsonl

DOCUMENTS = {f"d{n}": f"A red fox sits in barn {n}." for n in range(6)}


def load(benchmark: Path | None, **settings: Any) -> Task:
    (task,) = load_evaluated(CandidateSettings(benchmark, **settings), reranking=True)
    return task


def bright_folder(folder: Path, excluded: dict[str, list[str]]) -> Path:
    """Queries, in this order, over one corpus; d0 is relevant to each."""
    folder.mkdir()
    write_jsonl(folder / "corpus.jsonl", [{"id": name, "content": text} for name, text in DOCUMENTS.items()])
    rows = [
        {"id": name, "query": "Where is the red fox?", "gold_ids": ["d0"], "excluded_ids": ids or ["N/A"]}
        for name, ids in excluded.items()
    ]
    write_jsonl(folder / "queries.jsonl", rows)
    return folder


def run_file(path: Path, rankings: dict[str, list[str]]) -> Path:
    lines = [
        f"{query_id} Q0 {doc_id} {rank} {100 - rank} mine\n"
        for query_id, ids in rankings.items()
        for rank, doc_id in enumerate(ids, start=1)
    ]
    path.write_text("".join(lines))
    return path


def rankgpt_file(path: Path) -> Path:
    hits = [
        {"qid": 7, "docid": name, "content": text, "rank": place, "score": float(place)}
        for place, (name, text) in enumerate(DOCUMENTS.items())
    ]
    path.write_text(json.dumps([{"query": "Where is the red fox?", "hits": hits}]))
    return path


def test_bm25_ranks_where_there_is_no_run(tmp_path: Path) -> None:
    task = load(benchmark_folder(tmp_path / "b"), depth=4)
    assert len(task.queries) == 3
    for query in task.queries:
        documents = task.documents(query.query_id)
        assert [document.doc_id for document in documents] == task.candidates.doc_ids(query.query_id)
        assert 1 <= len(documents) <= 4
        colour, animal = query.text.removesuffix("?").split()[-2:]
        assert {colour, animal} & set(documents[0].text.split())


def test_queries_are_judged_by_their_own_instruction_or_the_evaluation_s(tmp_path: Path) -> None:
    folder = benchmark_folder(tmp_path / "b")
    file = folder / "queries.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    plain = load(folder)
    write_jsonl(file, [{**rows[0], "instruction": "Cite statutes."}, *rows[1:]])
    own, all_of_them = load(folder), load(folder, instruction="Cite cases.")
    assert [query.instruction for query in own.queries] == ["Cite statutes.", None, None]
    assert [query.instruction for query in all_of_them.queries] == ["Cite statutes.", "Cite cases.", "Cite cases."]
    assert (own.facts["instructed"], all_of_them.facts["instructed"]) == (1, 3)
    assert "instructed" not in plain.facts
    # The first stage reads queries alone.
    assert plain.facts["digest"] == own.facts["digest"] == all_of_them.facts["digest"]


@pytest.mark.parametrize("given", [False, True])
def test_an_excluded_document_is_never_a_candidate_and_leaves_no_gap(tmp_path: Path, given: bool) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": ["d1", "d2"], "q2": []})
    rankings = {"q1": list(DOCUMENTS), "q2": list(DOCUMENTS)}
    run = run_file(tmp_path / "r.trec", rankings) if given else None
    task = load(folder, run=run, depth=3)
    assert not {"d1", "d2"} & set(task.candidates.doc_ids("q1"))
    assert len(task.candidates.doc_ids("q1")) == 3
    everything = load(folder, run=run, depth=100)
    assert len(everything.candidates.doc_ids("q1")) == 4
    assert len(everything.candidates.doc_ids("q2")) == 6


def test_candidates_of_the_folder_lose_excluded_documents_too(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": ["d5"]})
    run_file(folder / "run.trec", {"q1": ["d5", "d4", "d3"]})
    assert load(folder).candidates.doc_ids("q1") == ["d4", "d3"]


def test_a_query_whose_candidates_are_all_excluded_has_no_documents(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": ["d5"], "q2": []})
    task = load(folder, run=run_file(tmp_path / "r.trec", {"q1": ["d5"], "q2": ["d5"]}))
    assert task.documents("q1") == []
    assert [document.doc_id for document in task.documents("q2")] == ["d5"]
    assert [query.query_id for query in task.queries] == ["q1", "q2"]


def test_a_query_without_candidates_is_still_evaluated(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": [], "q2": []})
    task = load(folder, run=run_file(tmp_path / "r.trec", {"q2": ["d1"]}))
    assert [query.query_id for query in task.queries] == ["q1", "q2"]
    assert task.documents("q1") == []


def test_the_given_run_wins_over_the_one_of_the_folder(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": []})
    run_file(folder / "run.trec", {"q1": ["d1", "d2"]})
    other = run_file(tmp_path / "other.trec", {"q1": ["d4", "d3"], "unknown": ["d1"]})
    assert load(folder).candidates.doc_ids("q1") == ["d1", "d2"]
    task = load(folder, run=other)
    assert task.candidates.doc_ids("q1") == ["d4", "d3"]
    assert list(task.candidates) == ["q1"]
    assert task.candidates.tag == "mine"


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": []})
    with pytest.raises(InputError, match=r"r\.trec:1: no query id .*to the task b"):
        load(folder, run=run_file(tmp_path / "r.trec", {"elsewhere": ["d1"]}))


def test_a_candidate_that_the_corpus_lacks_is_refused(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": []})
    with pytest.raises(InputError, match=r"r\.trec:2: .*'lost'"):
        load(folder, run=run_file(tmp_path / "r.trec", {"q1": ["d1", "lost"]}))


def test_an_excluded_candidate_need_not_be_in_the_corpus(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": ["gone"]})
    task = load(folder, run=run_file(tmp_path / "r.trec", {"q1": ["gone", "d1"]}))
    assert task.candidates.doc_ids("q1") == ["d1"]


def test_one_of_several_runs_can_be_named(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": []})
    for name, doc_id in (("a", "d1"), ("b", "d2")):
        run_file(folder / f"{name}.trec", {"q1": [doc_id]})
    assert load(folder, run=folder / "b.trec").candidates.doc_ids("q1") == ["d2"]


def test_a_rankgpt_file_needs_qrels(tmp_path: Path) -> None:
    path = rankgpt_file(tmp_path / "novel.json")
    with pytest.raises(InputError, match="qrels=FILE"):
        load(path)


def test_a_rankgpt_file_with_qrels_is_evaluated_as_it_ranks(tmp_path: Path) -> None:
    path = rankgpt_file(tmp_path / "novel.json")
    (tmp_path / "qrels.txt").write_text("7 0 d2 1\n8 0 d2 1\n")
    task = load(path, qrels=tmp_path / "qrels.txt", depth=3)
    assert task.candidates.doc_ids("7") == ["d5", "d4", "d3"]
    assert [document.text for document in task.documents("7")] == [DOCUMENTS[name] for name in ("d5", "d4", "d3")]
    assert task.qrels == [Qrel("7", "d2", 1)]


def test_other_qrels_take_the_place_of_the_folder_s(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": [], "q2": []})
    (tmp_path / "qrels.txt").write_text("q2 0 d3 2\n")
    task = load(folder, qrels=tmp_path / "qrels.txt")
    assert [query.query_id for query in task.queries] == ["q2"]
    assert task.qrels == [Qrel("q2", "d3", 2)]


@pytest.mark.parametrize("inside", ["", "validation3-0\tvalidation3-0-1\t1\n"], ids=["none", "of one query"])
def test_other_qrels_need_none_in_the_folder(tmp_path: Path, inside: str) -> None:
    folder = benchmark_folder(tmp_path / "b")
    qrels = (folder / "qrels.tsv").rename(tmp_path / "qrels.tsv")
    if inside:
        (folder / "qrels.tsv").write_text(inside)
    assert len(load(folder, qrels=qrels).queries) == 3


def test_qrels_of_other_queries_are_refused(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": []})
    (tmp_path / "qrels.txt").write_text("other 0 d3 2\n")
    with pytest.raises(InputError, match=r"no query id of the qrels .*queries"):
        load(folder, qrels=tmp_path / "qrels.txt")


def test_the_sample_of_queries_is_seeded_and_in_the_benchmark_s_order(tmp_path: Path) -> None:
    names = [f"q{n}" for n in range(30)]
    folder = bright_folder(tmp_path / "b", {name: [] for name in names})

    def sample(seed: int) -> list[str]:
        task = load(folder, queries=10, seed=seed)
        chosen = [query.query_id for query in task.queries]
        assert list(task.candidates) == chosen
        assert {qrel.query_id for qrel in task.qrels} == set(chosen)
        return chosen

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert len(sample(1)) == 10
    assert sample(1) == [name for name in names if name in sample(1)]
    assert [query.query_id for query in load(folder, queries=31).queries] == names


def test_several_splits_have_to_be_told_apart(tmp_path: Path) -> None:
    folder = bright_folder(tmp_path / "b", {"q1": [], "q2": []})
    (folder / "qrels.dev.tsv").write_text("q1\td0\t1\n")
    (folder / "qrels.test.tsv").write_text("q2\td0\t1\n")
    with pytest.raises(InputError, match="split=dev"):
        load(folder)
    assert [query.query_id for query in load(folder, split="test").queries] == ["q2"]
    with pytest.raises(InputError, match="no split 'train'"):
        load(folder, split="train")


def test_a_benchmark_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="benchmark=DIR"):
        load(None)
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
