"""Each dialect is told apart, read, answered and refused as its clients expect it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, get_args

import pytest

from interank.serving.dialects import DIALECTS, Dialect, dialect_of, read, refused
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Result, Text, Why

COHERE = {"model": "m", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}

# What clients were seen to send, to which path, and what it is then taken for.
SENT: list[tuple[str, dict[str, Any], str]] = [
    ("/v2/rerank", {**COHERE, "max_tokens_per_doc": None}, "cohere"),  # langchain-cohere 0.6
    ("/v1/v2/rerank", COHERE, "cohere"),  # cohere 7, where base_url ends in /v1
    ("/v1/rerank", {**COHERE, "top_n": None}, "cohere"),  # haystack's jina
    ("/rerank", {**COHERE, "return_documents": True}, "cohere"),  # litellm's hosted_vllm
    ("/rerank", {"query": "q", "texts": ["a"]}, "tei"),  # llama-index
    ("/rerank", {**COHERE, "raw_scores": False}, "infinity"),  # infinity_client always sends it
    ("/v1/rerank", {"query": "q", "documents": ["a"], "model": "m", "top_k": None, "truncation": True}, "voyage"),
    ("/v1/ranking", {"model": "m", "query": {"text": "q"}, "passages": [{"text": "a"}]}, "nim"),
    ("/v1/retrieval/nv/m/reranking", {"query": {"text": "q"}, "passages": [{"text": "a"}]}, "nim"),
    ("/rerank", {"query": {"text": "q"}, "passages": [{"text": "a"}]}, "nim"),
    ("/score", {"text_1": "q", "text_2": ["a", "b"]}, "score"),
    ("/vllm/score", {"queries": ["q"], "items": ["a", "b"]}, "score"),
    # What no body can tell.
    ("/voyage/v1/rerank", {"query": "q", "documents": ["a"], "model": "m"}, "voyage"),  # npm voyageai
    ("/sglang/v1/rerank", {"query": "q", "documents": ["a"]}, "sglang"),
    ("/tei/rerank", {"query": "q", "texts": ["a"]}, "tei"),
    ("/nim/v1/ranking", {"query": {"text": "q"}, "passages": [{"text": "a"}]}, "nim"),
    ("/vllm/rerank", COHERE, "vllm"),
]


def answered(*scores: float) -> RerankResponse:
    texts = "abcdefgh"
    return RerankResponse(
        "r1", "m", 7, tuple(Result(place, score, Text(texts[place])) for place, score in enumerate(scores)), 30
    )


@pytest.mark.parametrize(("path", "body", "name"), SENT)
def test_what_a_client_sends_is_told_by_its_path_and_keys_and_can_be_read(
    path: str, body: dict[str, Any], name: str
) -> None:
    dialect = dialect_of(path, body)
    asked = read(dialect, body)
    assert (dialect.name, asked.queries[0]) == (name, "q")
    assert [document.text for document in asked.documents] == list("abc")[: len(asked.documents)]


@pytest.mark.parametrize("path", ["/v3/rerank", "/tei/v1/rerank", "/", "/v1/retrieval//reranking"])
def test_a_path_where_nothing_is_spoken_is_refused(path: str) -> None:
    with pytest.raises(Refusal) as caught:
        dialect_of(path, COHERE)
    assert caught.value.why == "unknown"


def reply_at(path: str, body: dict[str, Any], *scores: float) -> Any:
    dialect = dialect_of(path, body)
    reply = dialect.reply(read(dialect, body), answered(*scores))
    return json.loads(json.dumps(reply, allow_nan=False))


def test_the_superset_has_what_cohere_jina_and_vllm_read_best_first_with_ties_in_request_order() -> None:
    reply = reply_at("/v1/rerank", {**COHERE, "top_n": None}, 0.0, 3.0, 0.0)
    assert [result["index"] for result in reply["results"]] == [1, 0, 2]
    assert [result["relevance_score"] for result in reply["results"]] == pytest.approx(
        [1 / (1 + math.exp(-3)), 0.5, 0.5]
    )
    assert {"id", "object", "model", "results", "usage", "meta"} <= set(reply)
    assert reply["usage"] == {"prompt_tokens": 30, "total_tokens": 30}
    assert not any("document" in result for result in reply["results"])


def test_each_shape_carries_scores_and_texts_where_its_clients_look() -> None:
    shared = {"query": "q", "documents": ["a", "b"], "return_documents": True}
    half = pytest.approx(1 / (1 + math.exp(-2.0)))
    infinity = reply_at("/rerank", {**shared, "raw_scores": True}, -1.0, 2.0)["results"]
    assert [(found["relevance_score"], found["document"]) for found in infinity] == [(2.0, "b"), (-1.0, "a")]
    voyage = reply_at("/v1/rerank", {**shared, "top_k": 1}, -1.0, 2.0)
    assert [(found["relevance_score"], found["document"]) for found in voyage["data"]] == [(half, "b")]
    assert voyage["object"] == "list" and "results" not in voyage
    tei = reply_at("/rerank", {"query": "q", "texts": ["a", "b"], "return_text": True}, -1.0, 2.0)
    assert [(found["score"], found["text"], found["index"]) for found in tei][:1] == [(half, "b", 1)]
    nim = reply_at("/v1/ranking", {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]}, -1.0, 2.0)
    assert [(found["logit"], found["index"]) for found in nim["rankings"]] == [(2.0, 1), (-1.0, 0)]
    sglang = reply_at("/sglang/v1/rerank", {"query": "q", "documents": ["a", "b"]}, -1.0, 2.0)
    assert [(found["score"], found["document"]) for found in sglang][:1] == [(half, "b")]
    vllm = reply_at("/rerank", {"query": "q", "documents": "a"}, 2.0)["results"]
    assert [(found["relevance_score"], found["document"]) for found in vllm] == [(half, {"text": "a"})]
    score = reply_at("/score", {"text_1": ["q", "r"], "text_2": ["a", "b"], "use_activation": False}, -1.0, 2.0)
    assert [(found["index"], found["score"]) for found in score["data"]] == [(0, -1.0), (1, 2.0)]


@pytest.mark.parametrize(("top", "told"), [(None, 3), (0, 3), (2, 2), (99, 3)])
def test_no_top_zero_or_more_than_there_are_tell_all(top: int | None, told: int) -> None:
    assert len(reply_at("/v2/rerank", {**COHERE, "top_n": top}, 1.0, 2.0, 3.0)["results"]) == told


def test_scores_that_floats_of_four_bytes_would_tie_stay_apart_and_extremes_are_numbers() -> None:
    values = [found["relevance_score"] for found in reply_at("/v2/rerank", COHERE, 18.0, 19.0, -800.0)["results"]]
    assert values[0] > values[1]
    far = [
        found["relevance_score"]
        for found in reply_at("/v2/rerank", {**COHERE, "top_n": 0}, 800.0, 0.0, -800.0)["results"]
    ]
    assert far == [1.0, 0.5, 0.0]


def at(body: dict[str, Any], path: str = "/v1/rerank") -> RerankRequest:
    return read(dialect_of(path, body), body)


def test_documents_are_read_by_text_and_title_or_by_the_fields_named() -> None:
    given = {"query": "q", "documents": [{"text": "a", "title": "t", "url": "u"}, "b"]}
    assert at(given).documents == (Text("a", "t"), Text("b"))
    named = {"query": "q", "documents": [{"name": "n", "tags": ["x"], "text": "a"}], "rank_fields": ["name", "tags"]}
    assert at(named).documents == (Text('name: n\ntags: ["x"]'),)


def test_strings_are_taken_for_truth_and_null_for_nothing() -> None:
    assert at({"query": "q", "documents": ["a"], "return_documents": "true"}).texts  # RAGFlow's Xinference
    optional = ("model", "top_n", "return_documents", "rank_fields", "max_tokens_per_doc", "priority", "relevant_spans")
    assert at({"query": "q", "documents": ["a"], **dict.fromkeys(optional)}) == at({"query": "q", "documents": ["a"]})


def test_refusing_to_be_cut_is_heard_in_each_dialect_and_cuts_are_told() -> None:
    assert at({"query": "q", "documents": ["a"], "truncation": False}).whole
    assert at({"query": "q", "texts": ["a"], "truncate": False}, "/rerank").whole
    assert at({"query": {"text": "q"}, "passages": [{"text": "a"}], "truncate": "NONE"}, "/v1/ranking").whole
    dialect = dialect_of("/v2/rerank", COHERE)
    cut = RerankResponse("r1", "m", 7, (Result(0, 1.0, Text("a"), truncated=5),), 30)
    reply: Any = dialect.reply(read(dialect, COHERE | {"max_chunks_per_doc": 3}), cut)
    assert reply["results"][0]["truncated"] == 5
    assert reply["meta"]["warnings"] == [
        "max_chunks_per_doc is ignored by this model",
        "documents cut to the model's length: 1 of 1",
    ]


def test_no_client_goes_before_others_and_those_that_can_wait_may_say_so() -> None:
    given = [at(COHERE | {"priority": priority}).priority for priority in (-999, None, 0, 7)]
    assert given == [0, 0, 0, 7]
    assert at({"text_1": "q", "text_2": "a", "priority": -1}, "/score").priority == 0


def test_vllms_limits_of_length_are_read_where_0_is_none_and_what_is_not_heard_is_told() -> None:
    assert [at(COHERE | {"max_tokens_per_doc": most}).most_tokens for most in (0, None, 8)] == [None, None, 8]
    score = at({"text_1": "q", "text_2": "a", "max_tokens_per_doc": 8, "instruction": "Cite statutes."}, "/score")
    assert (score.most_tokens, score.instruction) == (8, "Cite statutes.")
    told = at(COHERE | {"max_tokens_per_query": 8, "truncate_prompt_tokens": -1}).warnings
    assert told == ("max_tokens_per_query is ignored by this model",)


def test_an_instruction_is_read_under_either_name() -> None:
    assert at(COHERE | {"instruction": "Cite statutes."}).instruction == "Cite statutes."
    assert at(COHERE | {"instruct": "Cite statutes."}).instruction == "Cite statutes."
    assert at(COHERE).instruction is None


def test_spans_are_told_to_those_who_ask_for_them() -> None:
    span = {"relevant_spans": [{"start": 0, "end": 1, "score": 1.0}], "grade": 2}
    given = RerankResponse("r1", "m", 7, (Result(0, 1.0, Text("a"), extra=span),), 30)
    three = replace(given.results[0], extra={"relevant_spans": [{"start": n} for n in range(3)]})
    body = {**COHERE, "relevant_spans": {"mode": "enabled", "threshold": 0.1, "max_spans": 2}}
    first: Any = dialect_of("/v2/rerank", body).reply(at(body, "/v2/rerank"), replace(given, results=(three,)))
    assert first["results"][0]["relevant_spans"] == [{"start": 0}, {"start": 1}]
    for wanted, keys in (({"mode": "enabled"}, {"relevant_spans", "grade"}), (None, {"grade"})):
        body = {**COHERE, "relevant_spans": wanted}
        reply: Any = dialect_of("/v2/rerank", body).reply(at(body, "/v2/rerank"), given)
        assert set(reply["results"][0]) - {"index", "relevance_score", "truncated"} == keys


@pytest.mark.parametrize(
    ("path", "body", "why", "field"),
    [
        ("/v2/rerank", {"query": "q"}, "invalid", "documents"),
        ("/v2/rerank", {"query": "q", "documents": []}, "empty", "documents"),
        ("/v2/rerank", {"query": " ", "documents": ["a"]}, "empty", "query"),
        ("/v2/rerank", {"query": "q", "documents": ["a", 7]}, "invalid", "documents.1"),
        ("/v2/rerank", {"query": "q", "documents": ["a", {"url": "u"}]}, "invalid", "documents[1]"),
        ("/v2/rerank", {"query": "q", "documents": ["a"], "top_n": -1}, "invalid", "top_n"),
        ("/rerank", {"query": "q", "texts": []}, "empty", "texts"),
        ("/score", {"text_1": ["q", "r"], "text_2": ["a"]}, "invalid", "text_1"),
        ("/score", {"text_1": "q"}, "invalid", None),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_the_key_at_fault(
    path: str, body: dict[str, Any], why: str, field: str | None
) -> None:
    with pytest.raises(Refusal) as caught:
        read(dialect_of(path, body), body)
    assert (caught.value.why, caught.value.field) == (why, field)


def refusal(path: str, why: Any, body: dict[str, Any] = COHERE) -> tuple[int, dict[str, str], Any]:
    return refused(dialect_of(path, body), Refusal(why, "no", field="query", retry_after=1.2))


def test_refusals_have_each_dialects_status_and_form() -> None:
    status, headers, reply = refusal("/v2/rerank", "invalid")
    assert (status, headers["Retry-After"]) == (422, "2")
    assert reply["message"] == reply["detail"] == reply["error"]["message"] == "no"
    assert reply["error"] | {"type": ""} == {"message": "no", "type": "", "param": "query", "code": 422}
    assert refusal("/voyage/v1/rerank", "overloaded")[::2] == (429, {"detail": "no"})
    # infinity_client makes an object of each fault.
    faults = [{"loc": ["body", "query"], "msg": "no", "type": "invalid"}]
    assert refusal("/rerank", "invalid", COHERE | {"raw_scores": False})[2]["detail"] == faults
    assert refusal("/infinity/rerank", "late")[2]["detail"] == "no"
    statuses = {"empty": 400, "invalid": 422, "too_large": 413, "failed": 424, "overloaded": 429, "unavailable": 503}
    for why, code in statuses.items():
        status, _, reply = refusal("/tei/rerank", why)
        assert status == code and reply["error"] == "no"
    assert refusal("/tei/rerank", "overloaded")[2]["error_type"] == "Overloaded"
    assert refusal("/tei/rerank", "key")[::2] == (401, None)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_dialect_can_write_every_refusal(dialect: Dialect) -> None:
    for why in get_args(Why):
        status, _, reply = refused(dialect, Refusal(why, "no"))
        assert 400 <= status < 600 and json.dumps(reply)
