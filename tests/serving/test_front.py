"""A front to several model servers: it ranks as `Reranker` does, and outlives what becomes of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import torch

from interank import Reranker
from interank.engines.models import find_model, load_model
from interank.serving.app import make_app
from interank.serving.opening import Opened
from interank.serving.service import Service, Setup
from interank.settings import ServerRecipe
from interank.tasks.ranker_settings import RankerSettings
from tests.support import rule
from tests.support.faulty import graded
from tests.support.stub import Answer, Stub, refused, serving

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
SECONDS = 0.2


class Replica(Stub):
    """Tells the labels' log-probabilities of a model as vLLM does, unless it is down, and as soon as it may."""

    def __init__(self, model: Any) -> None:
        # A server that is down lists no models either.
        super().__init__(self.told, models=503)
        self.down = False
        self.go = threading.Event()
        self.go.set()
        self._model, self._one = model, threading.Lock()

    def told(self, number: int, body: dict[str, Any]) -> Answer:
        assert self.go.wait(60)
        if self.down:
            return refused(503, "it restarts")
        with self._one, torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([body["prompt"]])).logits[0, -1]
        given = logits.float().log_softmax(0)
        return 200, graded(body, *(float(given[label]) for label in body["logprob_token_ids"])), {}


@pytest.fixture
def replicas(tiny_folder: Path) -> Iterator[list[Replica]]:
    model = load_model(find_model(str(tiny_folder)))
    made = [Replica(model) for _ in range(2)]
    with serving(*made):
        yield made


@pytest.fixture
def front(tiny_folder: Path, replicas: list[Replica]) -> Iterator[Service]:
    urls = ",".join(replica.url for replica in replicas)
    server = ServerRecipe.model_validate({"urls": urls, "model": "judge", "attempts": 2, "longest_wait": 0.01})
    made = Service(Setup(Opened(RankerSettings(str(tiny_folder), engine="openai", server=server), names=("judge",))))
    made.warm_up()
    cast(Any, made.models.get(None)).engine.retry_failed_servers(SECONDS)
    yield made
    made.close()


def ranked(service: Service, count: int = 1, **more: Any) -> list[httpx2.Response]:
    """The replies to as many requests at once."""

    async def run() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(make_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as made:
            body = {"query": QUERY, "documents": TEXTS, **more}
            return list(await asyncio.gather(*(made.post("/rerank", json=body) for _ in range(count))))

    return asyncio.run(run())


def test_all_servers_are_asked_and_the_scores_are_those_of_reranker(
    front: Service, replicas: list[Replica], tiny_folder: Path
) -> None:
    expected = {item.doc_id: item.score for item in Reranker(tiny_folder).rank(QUERY, TEXTS)}
    before = [len(replica.bodies) for replica in replicas]
    for reply in ranked(front, 3):
        found = {str(item["index"]): item["raw_score"] for item in reply.json()["results"]}
        assert found == pytest.approx(expected, abs=1e-4)
    assert all(len(replica.bodies) > count for replica, count in zip(replicas, before, strict=True))


def test_one_server_may_fail_and_after_all_have_failed_the_first_that_is_back_is_asked(
    front: Service, replicas: list[Replica]
) -> None:
    replicas[0].down = True
    assert [reply.status_code for reply in ranked(front, 3)] == [200] * 3
    replicas[1].down = True
    (told,) = ranked(front)
    assert (told.status_code, told.headers["retry-after"]) == (503, "5")
    assert "no server of the model answers" in told.text and "127.0.0.1" not in told.text
    replicas[0].down = False
    time.sleep(2 * SECONDS)
    assert ranked(front)[0].status_code == 200


def test_a_server_that_answers_nothing_lets_no_client_wait_beyond_its_timeout(
    front: Service, replicas: list[Replica]
) -> None:
    for replica in replicas:
        replica.go.clear()
    begun = time.monotonic()
    try:
        (reply,) = ranked(front, timeout=0.3)
        waited = time.monotonic() - begun
    finally:
        for replica in replicas:
            replica.go.set()
    assert reply.status_code == 504 and waited < 10
