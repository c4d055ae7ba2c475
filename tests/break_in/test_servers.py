"""Servers that drip, flood, unpack to gigabytes or lie about their cost: told in time, and the budget holds."""

from __future__ import annotations

import gzip
import resource
import socketserver
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interank.engines import answers
from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import Prompt
from interank.engines.protocol import Failure, Reply, Request, Sampling
from interank.engines.rollout_servers import RolloutServers
from interank.errors import ModelError
from interank.settings import BudgetRecipe, RolloutServersRecipe, ServerRecipe
from interank.teacher.budget import Meter
from tests.support.faulty import USAGES, chat, graded, tokens
from tests.support.stub import Answer, Stub, serving

SECONDS = 0.4
IN_WORDS = Request((("user", "is it relevant? " * 10),), Sampling(32))
IN_IDS = Request(Prompt((1,), (2, 2), (3,)), Sampling(32), end=2)
FOR_LABELS = Request(Prompt((1,), (2, 2), (3,)), Sampling(1), labels=(5, 6, 7))


def asked(url: str, request: Request = IN_WORDS, **more: Any) -> Reply | Failure:
    settings = ServerRecipe(urls=(url,), **{"attempts": 1, "longest_wait": 0.01, "timeout": 5.0, **more})
    teacher = OpenAiTeacher("m", settings, token_ids=not isinstance(request.prompt, tuple), vocabulary=900)
    ((_, (reply,)),) = list(teacher.ask(iter([(request,)])))
    return reply


@contextmanager
def writing(write: Callable[[Any], None]) -> Iterator[str]:
    """A server that reads what is asked, then writes raw bytes as it likes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                while self.rfile.readline().strip():
                    pass
                write(self.wfile)
            except (BrokenPipeError, ConnectionResetError):
                pass

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def drip_body(stream: Any) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(200):
        stream.write(b" ")
        stream.flush()
        time.sleep(SECONDS / 8)


def drip_headers(stream: Any) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(200):
        stream.write(b"X-%d: y\r\n" % number)
        stream.flush()
        time.sleep(SECONDS / 8)


@pytest.mark.parametrize("drip", [drip_body, drip_headers])
def test_a_server_that_drips_is_given_up_in_time(drip: Callable[[Any], None]) -> None:
    began = time.monotonic()
    with writing(drip) as url, pytest.raises(ModelError, match=r"no whole answer within 0\.4 seconds"):
        asked(url, timeout=SECONDS)
    assert time.monotonic() - began < 4 * SECONDS


def test_a_server_of_rollouts_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    settings = {"attempts": 1, "longest_wait": 0.01, "timeout": SECONDS}
    with writing(drip_body) as url, pytest.raises(ModelError, match="no whole answer within"):
        RolloutServers(RolloutServersRecipe(urls=(url,), **settings)).take_adapter(tmp_path)
    assert time.monotonic() - began < 6 * SECONDS


def flood(stream: Any, status: bytes = b"200 OK") -> None:
    stream.write(b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    while True:
        stream.write(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n")


def test_a_body_without_end_is_left_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 22)
    with writing(flood) as url:
        reply = asked(url)
    assert isinstance(reply, Failure)
    assert "larger than 4 MB" in reply.reason


def test_an_error_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)
    with (
        writing(lambda stream: flood(stream, b"401 Unauthorized")) as url,
        pytest.raises(ModelError, match=r"every server failed .*: 401 larger than 1 MB"),
    ):
        asked(url)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked_beyond_the_limit(coding: str) -> None:
    body = b'{"choices":[{"message":{"content":"' + b"a" * (200 << 20) + b'"}}]}'
    packed = (gzip if coding == "gzip" else zlib).compress(body, 1)
    del body
    stub = Stub(lambda number, asked: (200, packed, {"Content_Encoding": coding}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(stub):
        reply = asked(stub.url)
    assert isinstance(reply, Failure)
    assert "larger than 32 MB" in reply.reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "x" * 5000])
def test_codings_within_codings_and_unasked_ones_are_refused(coding: str) -> None:
    packed = gzip.compress(gzip.compress(b"{" + b" " * (1 << 20)))
    stub = Stub(lambda number, asked: (200, packed, {"Content_Encoding": coding}))
    with serving(stub):
        reply = asked(stub.url)
    assert isinstance(reply, Failure)
    assert "which was not requested" in reply.reason
    assert len(reply.reason) < 500


def answer_of(usage: Any) -> Callable[[int, dict[str, Any]], Answer]:
    def answer(number: int, body: dict[str, Any]) -> Answer:
        if "logprob_token_ids" in body:
            return 200, graded(body, -0.1, -3.0, -4.0, usage=usage), {}
        return 200, tokens([5, 6, 7], usage=usage) if "prompt" in body else chat(usage=usage), {}

    return answer


@pytest.mark.parametrize("name", USAGES)
@pytest.mark.parametrize(
    ("request_", "own"), [(IN_WORDS, (40, 8)), (IN_IDS, (4, 3)), (FOR_LABELS, (4, 1))], ids=["words", "ids", "labels"]
)
def test_a_budget_counts_by_itself_where_a_servers_usage_cannot_be(
    name: str, request_: Request, own: tuple[int, int]
) -> None:
    stub = Stub(answer_of(USAGES[name]))
    with serving(stub):
        reply = asked(stub.url, request_)
    assert isinstance(reply, Reply)
    assert (reply.read, reply.written) == own
    meter = Meter(BudgetRecipe(tokens=2 * sum(own)), None)
    meter.add(reply.read, reply.written)
    assert not meter.reached()
    meter.add(reply.read, reply.written)
    assert meter.reached()


def test_redirects_lead_nowhere() -> None:
    stolen = Stub(lambda number, body: (200, chat(), {}))
    with serving(stolen):
        stub = Stub(lambda number, body: (307, "", {"Location": f"{stolen.url}/chat/completions"}))
        with serving(stub):
            reply = asked(stub.url)
    assert isinstance(reply, Failure)
    assert "307" in reply.reason
    assert not stolen.bodies


def test_a_server_that_asks_to_wait_for_ever_is_waited_for_as_long_as_the_recipe_says() -> None:
    for wait in ("1e308", "nan", "inf", "-5"):
        stub = Stub(lambda number, body, wait=wait: (429, "{}", {"Retry_After": wait}))  # type: ignore[misc]
        began = time.monotonic()
        with serving(stub):
            reply = asked(stub.url, attempts=2, longest_wait=0.05)
        assert isinstance(reply, Failure)
        assert "429" in reply.reason
        assert time.monotonic() - began < 2
