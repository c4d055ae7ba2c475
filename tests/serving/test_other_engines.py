"""The server on vLLM in its process, and as a front to servers: many at once hear what `Reranker` tells of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interank import Reranker
from interank.serving.app import make_app
from interank.serving.opening import Opened
from interank.serving.service import Service, Setup
from interank.settings import ServerRecipe
from interank.tasks.ranker_settings import RankerSettings
from tests.support import rule
from tests.support.servers import VllmServer, small_vllm
from tests.support.tiny import strong_adapter

# vLLM and what it imports warn of their own and of torch's old ways.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
# More than are written at a time where an engine cannot be interrupted.
TOKENS = 20
# Different kernels add in different orders.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT adapter that moves every score, and beside it the model with the adapter in it."""
    return strong_adapter(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=["vllm", "openai"])
def service(request: pytest.FixtureRequest, adapter: Path) -> Iterator[Service]:
    with small_vllm():
        if request.param == "vllm":
            yield from opened(RankerSettings(str(adapter), "score", TOKENS, "vllm"))
            return
        merged = adapter.parent / "merged"
        with VllmServer(merged, adapter.parent / "log", name="judge", max_length=1024) as started:
            started.wait()
            server = ServerRecipe.model_validate({"urls": started.url, "model": "judge"})
            yield from opened(RankerSettings(str(merged), "score", TOKENS, "openai", server))


def opened(settings: RankerSettings) -> Iterator[Service]:
    made = Service(Setup(Opened(settings, names=("judge",))))
    made.warm_up()
    yield made
    made.close()


@pytest.mark.slow
def test_requests_at_once_hear_what_reranker_tells_of_each(service: Service, adapter: Path) -> None:
    alone = Reranker(adapter, max_reasoning_tokens=TOKENS)
    asked: list[dict[str, Any]] = [
        {"query": QUERY, "documents": TEXTS},
        {"query": f"{QUERY} 2", "documents": TEXTS[:5]},
        {"query": QUERY, "documents": TEXTS, "explain": 2},
        {"query": QUERY, "documents": TEXTS[:3], "mode": "reason"},
        {"query": QUERY, "documents": TEXTS, "explain": 2, "stream": True},
    ]

    async def run() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(make_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=300) as made:
            return list(await asyncio.gather(*(made.post("/rerank", json=body) for body in asked)))

    replies = asyncio.run(run())
    assert [reply.status_code for reply in replies] == [200] * len(asked), [reply.text for reply in replies]
    for body, reply in zip(asked[:4], replies, strict=False):
        judge = Reranker(adapter, mode="reason", max_reasoning_tokens=TOKENS) if "mode" in body else alone
        expected = judge.rank(body["query"], body["documents"], explain=body.get("explain"))
        results = reply.json()["results"]
        assert [str(item["index"]) for item in results] == [item.doc_id for item in expected]
        assert [item["raw_score"] for item in results] == pytest.approx([i.score for i in expected], abs=TOLERANCE)
        assert [item["explanation"] for item in results] == [item.explanation for item in expected]
    assert [bool(item["explanation"]) for item in replies[2].json()["results"][:3]] == [True, True, False]
    told = [block.partition("\ndata: ") for block in replies[4].text.split("\n\n") if block.startswith("event: ")]
    names = [name.removeprefix("event: ") for name, _, _ in told]
    assert (names[0], names[-1], names.count("explanation")) == ("ranking", "done", 2) and names.count("delta") >= 2
    said = {item["index"]: item["explanation"] for item in replies[2].json()["results"] if item["explanation"]}
    heard = [json.loads(data) for name, (_, _, data) in zip(names, told, strict=True) if name == "explanation"]
    assert {each["index"]: each["explanation"] for each in heard} == said
