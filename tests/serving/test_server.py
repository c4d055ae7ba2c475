"""One server for many clients: it ranks as `Reranker` does, whoever asks beside it, and refuses in words."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from interank import Reranker
from interank.serving.app import make_app
from interank.serving.keys import Keys
from interank.serving.limits import Limits
from interank.serving.opening import Opened
from interank.serving.service import Service, Setup
from interank.tasks.asked import RankerSettings
from tests.support import rule

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
ASKED = {"query": QUERY, "documents": TEXTS}


@pytest.fixture(scope="module")
def service(tiny_adapter: Path) -> Iterator[Service]:
    opened = Opened(RankerSettings(str(tiny_adapter), max_reasoning_tokens=24), names=("judge", "other-name"))
    made = Service(Setup(opened, Limits(heartbeat=0.05)))
    made.warm_up()
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(tiny_adapter: Path) -> Reranker:
    return Reranker(tiny_adapter, max_reasoning_tokens=24)


@asynccontextmanager
async def client(service: Service, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as made:
        yield made


def asked(service: Service, work: Callable[[httpx.AsyncClient], Awaitable[Any]], **headers: str) -> Any:
    async def run() -> Any:
        async with client(service, **headers) as made:
            return await work(made)

    return asyncio.run(run())


def post(service: Service, path: str, body: Any, **headers: str) -> httpx.Response:
    found: httpx.Response = asked(service, lambda made: made.post(path, json=body, headers=headers))
    return found


def test_it_ranks_as_reranker_does_to_a_millionth(service: Service, alone: Reranker) -> None:
    expected = alone.rank(QUERY, TEXTS)
    results = post(service, "/v2/rerank", ASKED).json()["results"]
    assert [str(item["index"]) for item in results] == [item.doc_id for item in expected]
    assert [item["raw_score"] for item in results] == pytest.approx([item.score for item in expected], abs=1e-6)
    for found, item in zip(results, expected, strict=True):
        assert found["relevance_score"] == pytest.approx(1 / (1 + math.exp(-item.score)), abs=1e-6)
        assert (found["grade"], found["score_kind"], found["explanation"]) == (item.relevance, "grade", None)
        assert found["probabilities"] == pytest.approx(item.probabilities, abs=1e-6)
        assert found["label_mass"] == pytest.approx(item.label_mass, abs=1e-6)


def test_requests_of_many_at_once_give_the_scores_of_one_at_a_time(service: Service) -> None:
    bodies = [{"query": f"Where is the {colour} fox, number {n}?", "documents": TEXTS[: 1 + n % 7]}
              for n, colour in enumerate(rule.COLOURS * 4)]

    async def together(made: httpx.AsyncClient) -> list[httpx.Response]:
        return list(await asyncio.gather(*(made.post("/rerank", json=body) for body in bodies)))

    many = [reply.json()["results"] for reply in asked(service, together)]
    for body, results in zip(bodies, many, strict=True):
        single = post(service, "/rerank", body).json()["results"]
        by_index = {item["index"]: item["raw_score"] for item in single}
        assert {item["index"]: item["raw_score"] for item in results} == pytest.approx(by_index, rel=1e-5, abs=1e-6)
