"""What users of like tools reported on their public trackers, tried here: each thread is named with its test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.ir.benchmarks import Benchmark, load_benchmark
from interank.ir.measures import notes_on_meeting, only_judged, score_run, tie_bounds
from interank.ir.trec import read_qrels, read_run, read_scored
from interank.reranking.requests import read_requests
from interank.serving.dialects import dialect_of, read
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Result, Text, all_warnings, best_first
from interank.tables.reading import Table
from interank.tasks.order.ordering import parse
from interank.tasks.ranks import Ranking, Scores, UngradedRanker
from interank.types import Document, Query, RankedDocument


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class ByLength(UngradedRanker, Scores):
    """Scores a document by its length."""

    def query_cut(self, query: Query) -> int:
        return 0

    def scored(self, query: Query, documents: Any) -> Ranking:
        return [RankedDocument(each.doc_id, float(len(each.full_text))) for each in documents]


def test_comments_in_qrels_and_runs_are_skipped_and_counted_as_lines(tmp_path: Path) -> None:
    """usnistgov/trec_eval#20"""
    run = put(tmp_path / "run", "# by hand\nq1 Q0 d1 1 2 t\n#q1 Q0 d2 2 1 t\n")
    assert read_run(run).doc_ids("q1") == ["d1"]
    qrels = put(tmp_path / "qrels", "# a\n# b\nq1 0 d1 1\nq1 0 d2 x\n")
    with pytest.raises(InputError, match=r"qrels:4: the relevance is 'x'"):
        read_qrels(qrels)


def test_ids_with_a_hash_inside_are_ids_and_no_shared_query_is_told(tmp_path: Path) -> None:
    """usnistgov/trec_eval#46"""
    qrels = read_qrels(put(tmp_path / "qrels", "2024-1 0 msmarco_v2.1_doc_0#3_5 1\n"))
    run = read_run(put(tmp_path / "run", "2024-1.0 Q0 msmarco_v2.1_doc_0#3_5 1 2 t\n"))
    assert qrels[0].doc_id == "msmarco_v2.1_doc_0#3_5"
    assert "share no query" in notes_on_meeting(qrels, run)[0]
    assert score_run(qrels, run, ["nDCG@10"]).mean == {"nDCG@10": 0.0}


def test_ties_are_broken_as_trec_eval_does_and_their_range_is_known(tmp_path: Path) -> None:
    """usnistgov/trec_eval#22"""
    qrels = read_qrels(put(tmp_path / "qrels", "1 Q0 a 0\n1 Q0 b 1\n1 Q0 c 0\n"))
    for other, expected in (("a", 1.0), ("c", 0.6309)):
        path = put(tmp_path / "run", f"1 0 b 1 1.0 r\n1 0 {other} 2 1.0 r\n")
        assert score_run(qrels, read_run(path), ["nDCG"]).mean["nDCG"] == pytest.approx(expected, abs=1e-4)
        lowest, highest = tie_bounds(qrels, read_scored(path), ["nDCG"])
        assert (lowest["nDCG"], highest["nDCG"]) == pytest.approx((0.6309, 1.0), abs=1e-4)


def test_a_negative_relevance_is_a_judgment(tmp_path: Path) -> None:
    """usnistgov/trec_eval#29"""
    qrels = read_qrels(put(tmp_path / "qrels", "Q1 0 D1 -1\nQ1 0 D2 1\n"))
    run = only_judged(qrels, read_run(put(tmp_path / "run", "Q1 Q0 D1 1 2 t\nQ1 Q0 D2 2 1 t\n")))
    assert score_run(qrels, run, ["P@1"]).mean == {"P@1": 0.0}


def test_a_document_that_is_ranked_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    """cvangysel/pytrec_eval#50, castorini/anserini#476"""
    run = put(tmp_path / "run", "301 Q0 FBIS4 1 12.893000 Anserini\n301 Q0 FBIS4 2 12.892999 Anserini\n")
    with pytest.raises(InputError, match=r"run:2: query '301' with document 'FBIS4' is on an earlier line"):
        read_run(run)


def test_a_query_without_results_counts_as_nothing_found(tmp_path: Path) -> None:
    """AmenRa/ranx#39"""
    qrels = read_qrels(put(tmp_path / "qrels", "q1 0 a 1\nq2 0 b 1\n"))
    run = read_run(put(tmp_path / "run", "q1 Q0 a 1 1 t\nq3 Q0 a 1 1 t\n"))
    assert score_run(qrels, run, ["nDCG@10"]).mean == {"nDCG@10": 0.5}
    assert "1 of the 2 judged queries are not in the run" in notes_on_meeting(qrels, run)[0]


@pytest.mark.parametrize("written", ["1.0", "1.", "1.00", "+1"])
def test_a_relevance_that_is_a_whole_number_may_be_written_as_a_float(tmp_path: Path, written: str) -> None:
    """AmenRa/ranx#8"""
    text = f"query-id\tcorpus-id\tscore\nq1\td1\t{written}\n"
    assert [qrel.relevance for qrel in read_qrels(put(tmp_path / "qrels", text))] == [1]
    with pytest.raises(InputError, match=r"qrels:1: the relevance is '1.5', where an integer is needed"):
        read_qrels(put(tmp_path / "qrels", "q1 0 d1 1.5\n"))


def test_measures_of_queries_without_relevant_documents_are_numbers(tmp_path: Path) -> None:
    """AmenRa/ranx#66, joaopalotti/trectools#51"""
    qrels = read_qrels(put(tmp_path / "qrels", "q1 0 a 0\nq2 0 b 1\n"))
    run = read_run(put(tmp_path / "run", "q1 Q0 a 1 1 t\nq2 Q0 z 1 1 t\n"))
    names = ["nDCG", "RR", "Rprec", "AP", "Bpref", "R@5"]
    assert score_run(qrels, run, names).mean == dict.fromkeys(names, 0.0)


def test_a_second_evaluation_gives_what_the_first_gave(tmp_path: Path) -> None:
    """terrierteam/ir_measures#42"""
    qrels = read_qrels(put(tmp_path / "qrels", "0 0 D1 1\n0 0 D2 1\n1 0 D0 1\n"))
    run = read_run(put(tmp_path / "run", "0 0 D0 1 0.8 r\n0 0 D2 2 0.7 r\n1 0 D0 1 3 r\n"))
    first, second = (score_run(qrels, run, ["nDCG@10", "nDCG@2", "P@10"]) for _ in range(2))
    assert first == second
    assert first.mean["nDCG@2"] > 0.5


def test_a_line_with_columns_too_few_is_refused(tmp_path: Path) -> None:
    """joaopalotti/trectools#34"""
    with pytest.raises(InputError, match=r"run:2: the line has 3 columns \(q1 \| Q0 \| b\), and needs 6 columns"):
        read_run(put(tmp_path / "run", "q1 Q0 a 1 1 t\nq1 Q0 b\n"))


def benchmark(folder: Path, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], *judged: str) -> Benchmark:
    put(folder / "corpus.jsonl", "".join(f"{json.dumps(row)}\n" for row in corpus))
    put(folder / "queries.jsonl", "".join(f"{json.dumps(row)}\n" for row in queries))
    put(folder / "qrels" / "test.tsv", "".join(f"{row}\n" for row in ("query-id\tcorpus-id\tscore", *judged)))
    return load_benchmark(folder)


CORPUS = [{"_id": "d1", "title": "", "text": "Steam"}, {"_id": "d2", "text": "Coffee"}]
QUERIES = [{"_id": "q1", "text": "steam"}]


def test_judgments_of_queries_that_are_not_there_are_left_out_and_counted(tmp_path: Path) -> None:
    """beir-cellar/beir#202"""
    found = benchmark(tmp_path, CORPUS, QUERIES, "q1\td1\t1", "PLAIN-2\td1\t1")
    assert list(found.queries) == ["q1"]
    assert found.counts["qrels_of_unknown_queries"] == 1


def test_judged_documents_that_are_not_there_are_told_with_their_line(tmp_path: Path) -> None:
    """beir-cellar/beir#101"""
    with pytest.raises(InputError, match=r"test\.tsv:3: the corpus lacks 1 document id, the first 'd9'"):
        benchmark(tmp_path, CORPUS, QUERIES, "q1\td1\t1", "q1\td9\t1")


def test_a_query_that_is_a_document_is_no_answer_to_itself(tmp_path: Path) -> None:
    """allenai/ir_datasets#310"""
    itself, other = {"_id": "q1", "title": "", "text": "steam"}, {"_id": "q2", "text": "Tea"}
    queries = [*QUERIES, {"_id": "q2", "text": "tea"}]
    found = benchmark(tmp_path / "a", [*CORPUS, itself, other], queries, "q1\td1\t1", "q2\td2\t1")
    # The second has an id of the corpus, but not its text.
    assert found.excluded == {"q1": {"q1"}}
    titled = {"_id": "q1", "title": "Steam", "text": "softens"}
    asked = {"_id": "q1", "text": Document("q1", "softens", "Steam").full_text}
    assert benchmark(tmp_path / "b", [*CORPUS, titled], [asked], "q1\td1\t1").excluded == {"q1": {"q1"}}
    assert benchmark(tmp_path / "c", [*CORPUS, itself], QUERIES, "q1\tq1\t1").excluded == {}


def test_columns_may_be_parted_by_tabs_in_some_lines_and_by_blanks_in_others(tmp_path: Path) -> None:
    """castorini/eval#21"""
    assert [row.doc_id for row in read_qrels(put(tmp_path / "q", "q1 0 d1 1\nq1\t0\td2\t1\n"))] == ["d1", "d2"]


def test_ids_that_are_numbers_meet_those_that_are_texts(tmp_path: Path) -> None:
    """webis-de/lightning-ir#74"""
    found = benchmark(tmp_path, [{"_id": 1, "text": "Steam"}], [{"_id": 7, "text": "steam"}], "7\t1\t1")
    assert (list(found.queries), list(found.corpus or ())) == (["7"], ["1"])


@pytest.mark.parametrize("column", ["text", "segment", "contents", "content", "body", "passage"])
def test_requests_of_rankllm_are_read_whatever_their_collection_calls_a_text(tmp_path: Path, column: str) -> None:
    """castorini/rank_llm#110, castorini/anserini#2463"""
    document = {"docid": "msmarco_v2.1_doc_0#3", "score": 2.5, "doc": {column: "x", "title": "t", "url": "u"}}
    row = {"query": {"qid": 264014, "text": "q?"}, "candidates": [document]}
    [request] = read_requests(put(tmp_path / "requests.jsonl", f"{json.dumps(row)}\n"))
    assert request.query == Query("264014", "q?")
    assert request.documents == [Document("msmarco_v2.1_doc_0#3", "x", "t")]
    assert request.scores == [2.5]


def test_answers_that_name_no_order_are_none_and_half_ones_are_mended() -> None:
    """run-llama/llama_index#17353"""
    assert parse("Doc: 5, because it is the most relevant", 6) is None
    found = parse("[2] > [2] > [9] > [1]", 3)
    assert found is not None
    assert found.positions == (1, 0, 2)
    assert (found.repairs.repeated, found.repairs.outside, found.repairs.missing) == (1, 1, 1)


def test_no_documents_give_no_ranking() -> None:
    """huggingface/sentence-transformers#3465, eosphoros-ai/DB-GPT#1523"""
    assert ByLength().rank("q", []) == []
    with pytest.raises(Refusal, match="found no documents; give at least one"):
        read(dialect_of("/v2/rerank", ()), {"query": "q", "documents": []})


def test_empty_texts_and_equal_ones_keep_their_places() -> None:
    """huggingface/sentence-transformers#3849, langgenius/dify#1661"""
    ranking = ByLength().rank("q", ["", "same", "same", " ", "longest"])
    assert [item.doc_id for item in ranking] == ["4", "1", "2", "3", "0"]


def test_more_results_than_documents_are_all_and_fewer_than_none_are_refused() -> None:
    """infiniflow/ragflow#11740, vllm-project/vllm#41348"""
    assert len(ByLength().rank("q", ["a"], top_k=5)) == 1
    dialect = dialect_of("/v1/rerank", ())
    assert read(dialect, {"query": "q", "documents": ["a"], "top_n": 5}).top == 5
    with pytest.raises(Refusal, match="top_n"):
        read(dialect, {"query": "q", "documents": ["a"], "top_n": -1})


def told(asked: RerankRequest, truncated: int = 0) -> RerankResponse:
    results = tuple(Result(place, 0.5, text, truncated) for place, text in enumerate(asked.documents))
    return RerankResponse("1", "m", 0, results, 9)


def test_documents_are_told_where_a_client_reads_them_without_asking() -> None:
    """xorbitsai/inference#1909, BerriAI/litellm#29156"""
    body = {"query": "q", "documents": ["a"]}
    dialect = dialect_of("/rerank", body.keys())
    asked = read(dialect, body)
    reply = dialect.reply(asked, told(asked))
    assert isinstance(reply, dict)
    assert reply["results"][0]["document"] == {"text": "a"}
    assert isinstance(dialect_of("/sglang/v1/rerank", body.keys()).reply(asked, told(asked)), list)


def test_texts_that_are_cut_are_counted() -> None:
    """PrithivirajDamodaran/FlashRank#34"""
    asked = RerankRequest(("q",), (Text("long"),))
    assert all_warnings(asked, told(asked, 7)) == ["documents cut to the model's length: 1 of 1"]
    assert best_first(told(asked, 7).results, None)[0].truncated == 7


def test_a_large_json_on_one_line_and_columns_of_changing_types_are_read(tmp_path: Path) -> None:
    """huggingface/datasets#369, huggingface/datasets#5531"""
    rows = {"data": [{"text": "a" * 1000} for _ in range(3000)]}
    assert len(list(Table(put(tmp_path / "whole.json", json.dumps(rows))).rows())) == 3000
    mixed = put(tmp_path / "mixed.jsonl", '{"a": null, "b": "2020-01-01"}\n{"a": [1], "b": 3}\n')
    assert [row.values for row in Table(mixed).rows()] == [{"a": None, "b": "2020-01-01"}, {"a": [1], "b": 3}]
