"""One server for many clients: it ranks as `Reranker` does, whoever asks beside it, and refuses in words."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from interank import Reranker
from interank.artifact import open_artifact
from interank.engines.transformers import TransformersEngine
from interank.reranking.fitting import store_fit
from interank.serving.app import make_app
from interank.serving.keys import Keys
from interank.serving.limits import Limits
from interank.serving.models import ServedLanguageModel
from interank.serving.opening import Models, Opened
from interank.serving.service import Service, Setup
from interank.tasks.ranker_settings import RankerSettings
from interank.types import Query
from tests.contracts.clients.expectations import Answered, counted
from tests.reranking.fitting.test_storage import fit_of
from tests.support import rule
from tests.support.serve_process import ROOT
from tests.support.tiny_heads import tiny_base

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
ASKED = {"query": QUERY, "documents": TEXTS}
LIMITS = Limits(
    heartbeat=0.05, documents=50, characters=20_000, query_characters=500, body_bytes=100_000, explanations=20
)


def served(adapter: Path, **more: Any) -> Service:
    opened = Opened(RankerSettings(str(adapter), max_reasoning_tokens=24), names=("judge", "rerank-v3.5"))
    made = Service(Setup(opened, **{"limits": LIMITS, **more}))
    made.warm_up()
    return made


@pytest.fixture(scope="module")
def service(tiny_adapter: Path) -> Iterator[Service]:
    made = served(tiny_adapter)
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(tiny_adapter: Path) -> Reranker:
    return Reranker(tiny_adapter, max_reasoning_tokens=24)


@asynccontextmanager
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(make_app(service))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


def asked(service: Service, work: Callable[[httpx2.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with client(service) as made:
            return await work(made)

    return asyncio.run(run())


def post(service: Service, path: str, body: Any, **headers: str) -> httpx2.Response:
    found: httpx2.Response = asked(service, lambda made: made.post(path, json=body, headers=headers))
    return found


def get(service: Service, path: str, **headers: str) -> httpx2.Response:
    found: httpx2.Response = asked(service, lambda made: made.get(path, headers=headers))
    return found


def test_it_ranks_as_reranker_does_to_a_millionth(service: Service, alone: Reranker) -> None:
    expected = alone.rank(QUERY, TEXTS)
    reply = post(service, "/v2/rerank", ASKED)
    results = reply.json()["results"]
    assert [str(item["index"]) for item in results] == [item.doc_id for item in expected]
    assert [item["raw_score"] for item in results] == pytest.approx([item.score for item in expected], abs=1e-6)
    for found, item in zip(results, expected, strict=True):
        assert found["relevance_score"] == pytest.approx(1 / (1 + math.exp(-item.score)), abs=1e-6)
        assert (found["grade"], found["score_kind"], found["explanation"]) == (item.relevance, "grade", None)
        assert found["probabilities"] == pytest.approx(item.probabilities, abs=1e-6)
        assert found["label_mass"] == pytest.approx(item.label_mass, abs=1e-6)
    assert reply.json()["meta"]["interank"]["tokens_read"] == int(reply.headers["x-compute-tokens"])
    times = {name: int(reply.headers[f"x-{name}-time"]) for name in ("total", "queue", "inference")}
    assert abs(times["total"] - times["queue"] - times["inference"]) <= 1


def test_requests_of_many_at_once_give_the_scores_of_one_at_a_time(service: Service) -> None:
    bodies = [
        {"query": f"Where is the {animal}, number {n}?", "documents": TEXTS[: 1 + n % 7]}
        for n, animal in enumerate(rule.ANIMALS)
    ]

    async def together(made: httpx2.AsyncClient) -> list[httpx2.Response]:
        return list(await asyncio.gather(*(made.post("/rerank", json=body) for body in bodies)))

    for body, reply in zip(bodies, asked(service, together), strict=True):
        single = post(service, "/rerank", body).json()["results"]
        by_index = {item["index"]: item["raw_score"] for item in single}
        many = {item["index"]: item["raw_score"] for item in reply.json()["results"]}
        assert many == pytest.approx(by_index, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("guard", ["fence", "contrast"])
def test_a_guard_is_the_rerankers_own(service: Service, alone: Reranker, guard: Any) -> None:
    found = post(service, "/rerank", {**ASKED, "guard": guard}).json()
    expected = {item.doc_id: item.score for item in alone.guarded(guard).rank(QUERY, TEXTS)}
    assert {str(item["index"]): item["raw_score"] for item in found["results"]} == pytest.approx(expected, abs=1e-5)
    assert found["meta"]["interank"]["guard"] == guard


def test_an_instruction_is_followed_and_what_has_learned_from_none_says_so(service: Service, alone: Reranker) -> None:
    found = post(service, "/rerank", {**ASKED, "instruction": "Cite statutes."}).json()
    told, plain = alone.rank(QUERY, TEXTS, instruction="Cite statutes."), alone.rank(QUERY, TEXTS)
    scores = {str(item["index"]): item["raw_score"] for item in found["results"]}
    assert scores == pytest.approx({item.doc_id: item.score for item in told}, abs=1e-5)
    assert scores != pytest.approx({item.doc_id: item.score for item in plain}, abs=1e-5)
    assert found["meta"]["warnings"] == ["this model has not learned to follow an instruction"]


def test_explanations_are_those_of_reranker_with_their_quotes_in_place(service: Service, alone: Reranker) -> None:
    expected = [item.explanation for item in alone.rank(QUERY, TEXTS, explain=2)]
    results = post(service, "/v2/rerank", {**ASKED, "explain": 2}).json()["results"]
    assert [item["explanation"] for item in results] == expected
    assert ["quotes" in item for item in results[:3]] == [True, True, False]
    one = post(service, "/v1/explain", {"query": QUERY, "document": TEXTS[0]}).json()
    assert one["object"] == "explanations" and one["results"][0]["explanation"] is not None


def test_what_does_not_reach_a_minimum_is_left_out_before_anything_is_explained(
    service: Service, alone: Reranker
) -> None:
    every = post(service, "/v2/rerank", ASKED).json()["results"]
    least = (every[1]["raw_score"] + every[2]["raw_score"]) / 2
    reply = post(service, "/v2/rerank", {**ASKED, "min_score": least, "explain": 3}).json()
    expected = alone.rank(QUERY, TEXTS, explain=3, min_score=least)
    told = [(item["index"], item["grade"], item["explanation"]) for item in reply["results"]]
    assert told == [(int(item.doc_id), item.relevance, item.explanation) for item in expected]
    assert [item["relevance_score"] for item in reply["results"]] == pytest.approx(
        [item["relevance_score"] for item in every[:2]], rel=1e-5
    )
    assert reply["meta"]["interank"]["left_out"] == len(TEXTS) - 2
    graded = post(service, "/v2/rerank", {**ASKED, "min_grade": 1}).json()["results"]
    assert [item["index"] for item in graded] == [item["index"] for item in every if item["grade"] >= 1]
    assert post(service, "/rerank", {"query": QUERY, "texts": TEXTS, "min_score": 99}).json() == []
    places = post(service, "/rerank", {**ASKED, "mode": "adaptive", "min_grade": 0}).json()["results"]
    assert len(places) == len(TEXTS)
    assert max(item["relevance_score"] for item in places) == 1.0


def test_reasoning_before_the_grade_is_the_rerankers_own(tiny_adapter: Path, service: Service) -> None:
    reasoning = Reranker(tiny_adapter, mode="reason", max_reasoning_tokens=24)
    expected = {item.doc_id: (item.explanation, item.score) for item in reasoning.rank(QUERY, TEXTS[:3])}
    results = post(service, "/rerank", {**ASKED, "documents": TEXTS[:3], "mode": "reason"}).json()["results"]
    assert {str(item["index"]): item["explanation"] for item in results} == {
        key: said for key, (said, _) in expected.items()
    }
    for item in results:
        assert item["raw_score"] == pytest.approx(expected[str(item["index"])][1], abs=1e-5)


def test_adaptive_spends_a_budget_and_says_that_its_scores_are_places(service: Service) -> None:
    body = {**ASKED, "mode": "adaptive", "budget_tokens": 3000}
    results = post(service, "/rerank", body).json()["results"]
    assert [item["relevance_score"] for item in results] == sorted(
        (item["relevance_score"] for item in results), reverse=True
    )
    assert {item["score_kind"] for item in results} == {"rank"} and results[0]["relevance_score"] == 1.0


def events_of(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@pytest.fixture(scope="module")
def babbling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A model that writes something, whatever it is."""
    made = served(tiny_base(tmp_path_factory.mktemp("models") / "babbling", family="chatml"))
    yield made
    made.close()


def test_a_stream_tells_the_ranking_first_then_explanations_as_they_grow(babbling: Service) -> None:
    whole = {item["index"]: item for item in post(babbling, "/rerank", {**ASKED, "explain": 2}).json()["results"]}
    reply = post(babbling, "/rerank", {**ASKED, "explain": 2, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    told = events_of(reply.text)
    names = [name for name, _ in told]
    assert (names[0], names[-1], names.count("explanation")) == ("ranking", "done", 2) and names.count("delta") > 2
    assert len(told[0][1]["results"]) == len(TEXTS)
    for _, data in (event for event in told if event[0] == "explanation"):
        deltas = [said["text"] for name, said in told if name == "delta" and said["index"] == data["index"]]
        assert data["explanation"] == whole[data["index"]]["explanation"] and data["explanation"]
        assert "".join(deltas).startswith(data["explanation"][: len("".join(deltas).rstrip())])


def test_a_stream_gives_signs_of_life_while_there_is_nothing_to_tell(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = cast(Any, service.models.get(None)).engine
    compute = engine.label_logits

    def slowly(*given: Any) -> Any:
        time.sleep(8 * LIMITS.heartbeat)
        return compute(*given)

    monkeypatch.setattr(engine, "label_logits", slowly)
    before, told, _ = post(service, "/rerank", {**ASKED, "stream": True}).text.partition("event: ranking")
    assert told and before.count(": heartbeat\n\n") >= 3


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v2/rerank", {"query": "q"}, 422, "documents"),
        ("/v2/rerank", {**ASKED, "model": "nobody"}, 404, "model"),
        ("/v2/rerank", {**ASKED, "mode": "listwise"}, 422, "mode"),
        ("/v2/rerank", {**ASKED, "mode": "nothing"}, 422, "mode"),
        ("/v2/rerank", {**ASKED, "min_grade": 3}, 422, "min_grade"),
        ("/v2/rerank", {**ASKED, "min_score": "high"}, 422, "min_score"),
        ("/v2/rerank", {**ASKED, "min_probability": 0.5}, 422, "min_probability"),
        ("/v2/rerank", {**ASKED, "timeout": -1}, 422, "timeout"),
        ("/v2/rerank", {**ASKED, "budget_tokens": 5}, 422, "budget_tokens"),
        ("/v2/rerank", {**ASKED, "mode": "adaptive", "explain": 2}, 422, "explain"),
        ("/v1/explain", {**ASKED, "mode": "adaptive"}, 422, "explain"),
        ("/score", {"text_1": ["q", "r"], "text_2": ["a", "b"], "explain": 1}, 422, "explain"),
        ("/score", {"text_1": ["q", "r"], "text_2": ["a", "b"], "mode": "adaptive"}, 422, "mode"),
        ("/v2/rerank", {"query": "q", "documents": ["a"] * 51}, 413, "documents"),
        ("/v2/rerank", {"query": "q", "documents": ["a"] * 21, "explain": 21}, 413, "explain"),
        ("/v2/rerank", {"query": "q", "documents": ["a"] * 21, "mode": "reason"}, 413, "explain"),
        ("/v2/rerank", {"query": "q" * 501, "documents": ["a"]}, 413, "query"),
        ("/v2/rerank", {"query": "q", "documents": ["a"], "instruction": "i" * 501}, 413, "instruction"),
        ("/v2/rerank", {"query": "q", "documents": ["a" * 20_000]}, 413, "documents"),
        ("/v2/rerank", {"query": "q", "documents": ["a" * 200_000]}, 413, None),
        ("/v2/rerank", [1], 422, None),
        ("/v3/rerank", ASKED, 404, None),
    ],
)
def test_what_cannot_be_answered_is_refused_in_the_dialects_form(
    service: Service, path: str, body: Any, status: int, field: str | None
) -> None:
    reply = post(service, path, body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, field)
    assert reply.json()["message"] == reply.json()["detail"]


def test_bodies_that_are_no_json_are_refused_and_tei_and_voyage_hear_it_in_their_form(service: Service) -> None:
    reply = asked(service, lambda made: made.post("/rerank", content=b'{"query": nan'))
    assert reply.status_code == 422
    assert post(service, "/tei/rerank", {"query": "q", "texts": []}).json()["error_type"] == "Empty"
    assert post(service, "/voyage/v1/rerank", {"query": "", "documents": ["a"]}).json().keys() == {"detail"}
    half = {"query": "q", "documents": ["half \ud83d of a pair"], "return_documents": True}
    reply = asked(service, lambda made: made.post("/rerank", content=json.dumps(half).encode("ascii")))
    assert reply.json()["results"][0]["document"]["text"] == "half \ud83d of a pair"


def test_dialects_reach_the_model_each_in_its_form(service: Service) -> None:
    tei = post(service, "/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True}).json()
    nim = post(
        service, "/v1/ranking", {"query": {"text": QUERY}, "passages": [{"text": text} for text in TEXTS]}
    ).json()
    score = post(service, "/score", {"text_1": QUERY, "text_2": TEXTS, "use_activation": False}).json()
    own = {item["index"]: item["raw_score"] for item in post(service, "/rerank", ASKED).json()["results"]}
    for told in (
        {item["index"]: item["score"] for item in tei},
        {item["index"]: item["logit"] for item in nim["rankings"]},
        {item["index"]: item["score"] for item in score["data"]},
    ):
        assert told == pytest.approx(own, abs=1e-6)


def test_a_deadline_is_told_as_504_and_documents_that_may_not_be_cut_are_refused(service: Service) -> None:
    assert post(service, "/rerank", {**ASKED, "timeout": 1e-6}).status_code == 504
    assert post(service, "/rerank", ASKED, **{"x-timeout": "0.000001"}).status_code == 504
    for odd in ("soon", "nan", "1_0", "-1", "0", "inf", "1e999"):
        assert post(service, "/rerank", ASKED, **{"x-timeout": odd}).status_code == 422
    long = {"query": "q", "documents": ["word " * 400], "truncation": False}
    assert post(service, "/voyage/v1/rerank", long).status_code == 413
    cut = post(service, "/rerank", {"query": "q", "documents": ["word " * 400]}).json()
    assert cut["results"][0]["truncated"] > 0 and "cut to the model's length: 1 of 1" in cut["meta"]["warnings"][0]
    shorter = post(service, "/rerank", {"query": "q", "documents": ["word " * 400], "max_tokens_per_doc": 8}).json()
    assert shorter["results"][0]["truncated"] > cut["results"][0]["truncated"]


def test_models_health_figures_and_schema_are_told(service: Service) -> None:
    assert post(service, "/rerank", ASKED).status_code == 200
    rows = {row["id"]: row for row in get(service, "/v1/models").json()["data"]}
    assert rows.keys() == {"judge", "rerank-v3.5"} and rows["judge"]["default"]
    assert rows["judge"]["modes"] == ["score", "explain", "reason", "adaptive"]
    assert get(service, "/health").status_code == get(service, "/ready").status_code == 200
    text = get(service, "/metrics").text
    for name in ("requests_total", "request_seconds", "queue_seconds", "queue_tokens", "batch_tokens"):
        assert f"interank_{name}" in text
    for name in ("documents_total", "truncated_total", "label_mass"):
        assert f"interank_{name}{'_bucket' if name == 'label_mass' else ''}" in text
    schema = get(service, "/openapi.json").json()
    assert {"/v2/rerank", "/score", "/v1/ranking", "/voyage/v1/rerank", "/v1/explain"} <= schema["paths"].keys()
    assert {"Rerank", "Load"} <= schema["components"]["schemas"].keys()
    assert "requestBody" in schema["paths"]["/v1/adapters"]["post"]
    # Who draws requests from it draws some that are ranked.
    for body in ("Rerank", "TeiRerank", "Explain", "Question"):
        query = schema["components"]["schemas"][body]["properties"]["text" if body == "Question" else "query"]
        assert query["minLength"] == 1 and not re.search(query["pattern"], " \n") and re.search(query["pattern"], " a")
    for path, methods in schema["paths"].items():
        for said in methods.values():
            assert {each["name"] for each in said.get("parameters", [])} == set(re.findall(r"{(\w+)}", path)), path
    page = get(service, "/docs")
    assert "POST /v2/rerank" in page.text and "<script" not in page.text and "default-src 'none'" in str(page.headers)
    other = get(service, "/v2/rerank")
    assert other.status_code == other.json()["error"]["code"] == 405


def test_the_beginning_of_all_prompts_is_read_before_the_first_request(service: Service) -> None:
    model = service.models.get(None)
    assert isinstance(model, ServedLanguageModel) and isinstance(model.engine, TransformersEngine)

    def read(body: dict[str, Any]) -> tuple[float, list[float]]:
        """The tokens of the steps, and the scores."""
        name = "interank_batch_tokens_sum"
        before = service.metrics.registry.get_sample_value(name) or 0.0
        scores = [item["raw_score"] for item in post(service, "/rerank", body).json()["results"]]
        return (service.metrics.registry.get_sample_value(name) or 0.0) - before, scores

    beginning = model.engine.beginning
    assert beginning is not None and beginning.ids == model.encoder.beginning
    for body, saved in ((ASKED, len(beginning.ids)), ({**ASKED, "instruction": "Of snakes"}, 0)):
        tokens, scores = read(body)
        model.engine.beginning = None
        try:
            more, plain = read(body)
        finally:
            model.engine.beginning = beginning
        assert more - tokens == saved
        assert scores == pytest.approx(plain, abs=1e-6)


def test_the_metrics_are_those_that_the_document_names(service: Service) -> None:
    section = (ROOT / "docs" / "serve.md").read_text("utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    families = service.metrics.registry.collect()
    told = {family.name + "_total" * (family.type == "counter") for family in families}
    assert told == set(re.findall(r"`(interank_\w+)`", section))


def test_the_fields_of_a_model_are_those_that_the_document_names(service: Service) -> None:
    section = (ROOT / "docs" / "serve.md").read_text("utf-8").partition("## Models")[2].partition("\n## ")[0]
    shown = re.search(r"each `\{(.*?)\}`", section, re.DOTALL)
    assert shown
    names = [field.partition(":")[0] for field in shown[1].replace("\n", " ").split(", ")]
    assert [list(row) for row in get(service, "/v1/models").json()["data"]] == [names, names]


def test_every_route_but_health_asks_for_a_key(tiny_adapter: Path, service: Service) -> None:
    service.keys, service.admin = Keys(["one", "two"]), Keys(["ruler"])
    try:
        paths = get(service, "/openapi.json", authorization="Bearer one").json()["paths"]

        async def statuses(made: httpx2.AsyncClient) -> dict[str, set[bool]]:
            every = ["/", "/nowhere", "/docs", "/openapi.json", "/metrics", *paths]
            return {
                path: {(await made.request(method, path, json=ASKED)).status_code == 401 for method in ("GET", "POST")}
                for path in every
            }

        refused = asked(service, statuses)
        assert {path for path, found in refused.items() if found != {True}} == {"/health", "/ready"}
        for headers in (
            {"authorization": "Bearer two"},
            {"authorization": "two"},
            {"x-api-key": "two"},
            {"authorization": "Basic OnR3bw=="},
            {"authorization": "Bearer ruler"},
        ):
            assert post(service, "/rerank", ASKED, **headers).status_code == 200, headers
        assert post(service, "/rerank", ASKED, authorization="Bearer tw").status_code == 401
        other_site = {"authorization": "Basic OnR3bw==", "sec-fetch-site": "cross-site"}
        assert post(service, "/rerank", ASKED, **other_site).status_code == 401
        assert "access-control-allow-origin" not in post(service, "/rerank", ASKED, origin="http://x").headers
        assert post(service, "/v1/adapters", {"name": "a"}, authorization="Bearer two").status_code == 401
    finally:
        service.keys, service.admin = Keys(()), Keys(())


def test_the_log_has_a_line_for_each_request_and_no_text_of_it(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "interank.serving.middleware"):
        post(service, "/rerank", ASKED, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    line = json.loads(caplog.messages[-1])
    assert (line["status"], line["documents"], line["mode"], line["trace"]) == (200, len(TEXTS), "score", "a" * 32)
    assert "fox" not in caplog.text


@pytest.fixture
def failing(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    model: Any = service.models.get(None)
    monkeypatch.setattr(model.engine, "label_logits", fail)
    return service


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in caplog.messages if line.startswith("{")]


def test_a_failure_is_told_in_the_dialects_form_and_with_its_cause_in_the_log(
    failing: Service, caplog: pytest.LogCaptureFixture
) -> None:
    reply = post(failing, "/rerank", ASKED, **{"x-request-id": "r1"})
    assert reply.status_code == 500 and reply.json()["message"] == "the server failed; see request r1 in its log"
    assert reply.json()["error"]["code"] == 500 and reply.headers["x-request-id"] == "r1"
    assert "request r1 failed" in caplog.messages and "RuntimeError: out of memory" in caplog.text
    tei = post(failing, "/tei/rerank", {"query": QUERY, "texts": TEXTS})
    assert (tei.status_code, tei.json()["error_type"]) == (424, "Backend")


def test_a_reply_that_cannot_be_written_is_a_failure_too(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> bytes:
        raise ValueError("nan is no JSON")

    monkeypatch.setattr("interank.serving.app.as_json", fail)
    reply = post(service, "/voyage/v1/rerank", ASKED, **{"x-request-id": "r2"})
    assert (reply.status_code, reply.json()) == (
        500,
        {"detail": "the server failed; see request r2 in its log"},
    )
    assert "request r2 failed" in caplog.messages and "ValueError: nan is no JSON" in caplog.text


@pytest.mark.parametrize(("more", "status"), [({"timeout": 1e-6}, 504), ({"documents": ["a long text " * 900]}, 413)])
def test_what_came_of_a_stream_is_noted_and_not_how_it_began(
    service: Service, caplog: pytest.LogCaptureFixture, more: dict[str, Any], status: int
) -> None:
    def counted() -> float:
        text = get(service, "/metrics").text
        sample = f'interank_requests_total{{mode="score",route="/rerank",status="{status}"}} '
        return sum(float(line.removeprefix(sample)) for line in text.splitlines() if line.startswith(sample))

    before = counted()
    with caplog.at_level(logging.INFO, "interank.serving.middleware"):
        told = post(service, "/rerank", {**ASKED, "truncation": False, "stream": True, **more})
    assert told.status_code == 200 and events_of(told.text)[-1][1]["status"] == status
    assert lines(caplog)[0]["status"] == status and counted() == before + 1


def test_a_failed_stream_ends_with_an_error(failing: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "interank.serving"):
        told = events_of(post(failing, "/rerank", {**ASKED, "stream": True}).text)
    assert [name for name, _ in told] == ["error"] and told[0][1]["status"] == 500
    assert lines(caplog)[-1]["status"] == 500 and "RuntimeError: out of memory" in caplog.text


def test_failures_are_counted_by_their_status_in_whatever_form_they_are_told(failing: Service) -> None:
    """By which `make contracts` sees those of which a reply's status says nothing."""
    before = counted(get(failing, "/metrics").text)
    for path, more in [("/rerank", {}), ("/rerank", {"stream": True}), ("/tei/rerank", {})]:
        post(failing, path, {"query": QUERY, ("texts" if "tei" in path else "documents"): TEXTS, **more})
    added = counted(get(failing, "/metrics").text) - before
    del added[Answered("/metrics", "", 200)]
    assert added == {Answered("/rerank", "score", 500): 2, Answered("/tei/rerank", "score", 424): 1}


@contextmanager
def held_scores(service: Service) -> Iterator[None]:
    """Scores wait until the end."""
    go, model = threading.Event(), cast(Any, service.models.get(None))
    compute = model.engine.label_logits

    def waiting(*given: Any) -> Any:
        assert go.wait(60)
        return compute(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model.engine, "label_logits", waiting)
        try:
            yield
        finally:
            go.set()


def test_what_is_beyond_its_capacity_is_refused_while_the_rest_is_computed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as many as are taken on; `benchmarks/overload.py` measures how soon."""

    async def work(made: httpx2.AsyncClient) -> list[httpx2.Response]:
        with held_scores(service):
            asked = [asyncio.ensure_future(made.post("/rerank", json=ASKED)) for _ in range(8)]
            async with asyncio.timeout(60):
                while sum(each.done() for each in asked) < 6:
                    await asyncio.sleep(0.001)
        return list(await asyncio.gather(*asked))

    monkeypatch.setattr(service.desk, "limits", replace(LIMITS, requests=2))
    replies = asked(service, work)
    assert sorted(reply.status_code for reply in replies) == [200] * 2 + [503] * 6
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status_code == 503)


def test_collecting_garbage_holds_no_request_up(tiny_adapter: Path) -> None:
    made, messages = served(tiny_adapter), iter(["lifespan.startup", "lifespan.shutdown"])
    took: list[float] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        assert message["type"] in ("lifespan.startup.complete", "lifespan.shutdown.complete"), message
        if message["type"] == "lifespan.startup.complete":
            begun = time.monotonic()
            gc.collect()
            took.append(time.monotonic() - begun)

    # As in a process of the server's own, whose objects nothing has frozen yet.
    gc.unfreeze()
    try:
        asyncio.run(make_app(made)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
    finally:
        gc.freeze()
        made.close()
    assert took[0] < 0.05


def test_a_server_that_drains_refuses_and_says_that_it_is_not_ready(service: Service) -> None:
    service.desk.draining = True
    try:
        assert get(service, "/ready").status_code == 503 and get(service, "/health").status_code == 200
        reply = post(service, "/rerank", ASKED)
        assert reply.status_code == 503 and reply.headers["retry-after"] == "1"
    finally:
        service.desk.draining = False


SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "path": "/rerank",
    "raw_path": b"/rerank",
    "root_path": "",
    "scheme": "http",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
    "client": ("test", 1),
    "server": ("test", 80),
}


@pytest.mark.parametrize(("stream", "begun", "pauses"), [(False, 499, 0), (True, 200, 0), (True, 200, 5)])
def test_a_client_that_closes_its_socket_is_answered_no_more(
    service: Service, caplog: pytest.LogCaptureFixture, stream: bool, begun: int, pauses: int
) -> None:
    body = json.dumps({**ASKED, "documents": [f"{TEXTS[0]} {n}" for n in range(50)], "stream": stream}).encode()
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        for _ in range(pauses):
            await asyncio.sleep(0)

    app: Any = make_app(service)
    before = service.scheduler.step_tokens if service.scheduler else 0
    assert service.scheduler is not None
    service.scheduler.step_tokens = 64
    try:
        with caplog.at_level(logging.INFO, "interank.serving.middleware"):
            asyncio.run(app({**SCOPE}, receive, send))
    finally:
        service.scheduler.step_tokens = before
    assert (sent[0]["status"], lines(caplog)[-1]["status"]) == (begun, 499)
    assert service.backlog.tokens == 0 and not service.desk.entries


def test_a_client_that_goes_before_its_body_is_there_is_no_failure(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [{"type": "http.request", "body": b'{"query": "why', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_: Any) -> None:
        """Nobody hears it."""

    app: Any = make_app(service)
    with caplog.at_level(logging.INFO, "interank.serving"):
        asyncio.run(app({**SCOPE}, receive, send))
    assert [line["status"] for line in lines(caplog)] == [499] and "failed" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_the_timeout_is_told_when_it_is_up_although_a_step_still_computes(service: Service, stream: bool) -> None:
    async def work(made: httpx2.AsyncClient) -> httpx2.Response:
        return await asyncio.wait_for(made.post("/rerank", json={**ASKED, "timeout": 0.2, "stream": stream}), 10)

    with held_scores(service):
        reply = asked(service, work)
    assert (events_of(reply.text)[-1][1]["status"] if stream else reply.status_code) == 504
    assert not service.desk.entries and post(service, "/rerank", ASKED).status_code == 200


@pytest.mark.parametrize(
    ("path", "key"),
    [("/v2/rerank", "documents"), ("/tei/rerank", "texts"), ("/nim/v1/ranking", "passages"), ("/score", "text_2")],
)
def test_documents_are_counted_before_they_are_read(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str, key: str
) -> None:
    def unread(*_: Any) -> Any:
        raise AssertionError("the body was read")

    monkeypatch.setattr("interank.serving.app.read", unread)
    reply = post(service, path, {key: ["a"] * 51})
    assert reply.status_code == 413 and "found 51 documents, and the limit is 50" in reply.text


def test_a_query_that_is_cut_is_told_and_refused_where_nothing_may_be_cut(service: Service, alone: Reranker) -> None:
    query = "".join(f"{n:x}" for n in range(180))
    lost = alone.query_cut(Query("q", query))
    assert lost > 0
    cut = post(service, "/rerank", {"query": query, "documents": TEXTS[:2]}).json()
    assert cut["meta"]["warnings"] == [f"queries cut to the model's length: 1 of 1, by {lost} tokens"]
    whole = post(service, "/rerank", {"query": query, "documents": TEXTS[:2], "truncation": False})
    assert whole.status_code == 413 and "the query exceeds" in whole.json()["detail"]


def test_spans_that_nothing_can_be_quoted_for_are_told(service: Service) -> None:
    found = post(service, "/v2/rerank", {**ASKED, "relevant_spans": {"mode": "enabled"}}).json()
    assert "relevant_spans are quotes of explanations" in found["meta"]["warnings"][0]
    found = post(service, "/v2/rerank", {**ASKED, "relevant_spans": {"mode": "enabled"}, "explain": 1}).json()
    assert found["meta"]["warnings"] == [] and "relevant_spans" in found["results"][0]


def test_a_stored_fit_gives_probabilities_and_abstains_unless_it_is_left_out(
    tiny_adapter: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_adapter, tmp_path / "fitted")
    store_fit(fit_of(open_artifact(folder, "adapter").digest), folder)
    fitted = Reranker(folder)
    expected = fitted.rank(QUERY, TEXTS)
    assert fitted.fit is not None
    service = served(folder)
    reply = post(service, "/v2/rerank", ASKED).json()
    chances = [item["probability"] for item in reply["results"]]
    assert chances == pytest.approx([item.probability for item in expected], abs=1e-6)
    assert reply["abstain"] is fitted.fit.abstains(expected)
    least = (chances[1] + chances[2]) / 2
    assert len(post(service, "/v2/rerank", {**ASKED, "min_probability": least}).json()["results"]) == 2
    without = post(service, "/v2/rerank", {**ASKED, "fit": False}).json()
    assert "abstain" not in without and not any("probability" in item for item in without["results"])
    assert get(service, "/v1/models").json()["data"][0]["fit"] == ["score"]
    service.close()


def test_a_model_in_the_folder_that_one_is_in_has_its_name(
    service: Service, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_folder)
    assert Models(Opened(RankerSettings(".")), service.scheduler).default == tiny_folder.name
