"""Servers that fail in every way an HTTP server can: who is asked next, who waits, and when it all stops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from interank.engines.openai import OpenAiTeacher
from interank.engines.protocol import Failure, Reply, Request, Sampling
from interank.errors import ModelError
from interank.settings import ServerRecipe
from tests.support.stub import Answer, Stub, refused, said, serving


def echo(number: int, body: dict[str, Any]) -> Answer:
    return said(f"said {body['messages'][0]['content']}")


def settings(*urls: str, **more: Any) -> ServerRecipe:
    given = {"api": "chat", "attempts": 3, "longest_wait": 0.05, "in_flight": 4, "timeout": 5.0, **more}
    return ServerRecipe(urls=urls, **given)


def requests(number: int, **more: Any) -> list[Request]:
    return [Request((("user", f"question {place}"),), Sampling(9), **more) for place in range(number)]


def ask(recipe: ServerRecipe, asked: Sequence[Request]) -> dict[str, Reply | Failure]:
    teacher = OpenAiTeacher("m", recipe, token_ids=False)
    return {
        unit[0].prompt[0][1]: replies[0]
        for unit, replies in teacher.ask((request,) for request in asked)
        if isinstance(unit[0].prompt, tuple)
    }


def test_every_request_gets_its_own_reply_and_no_more_than_the_cap_are_under_way() -> None:
    def slow(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.02 if number % 3 else 0.06)
        return echo(number, body)

    one, two = Stub(slow), Stub(slow)
    with serving(one, two):
        replies = ask(settings(one.url, two.url), requests(40))
    assert replies == {f"question {n}": Reply(text=f"said question {n}", read=3, written=2) for n in range(40)}
    assert one.most_at_once + two.most_at_once <= 4 + 1
    assert min(len(one.bodies), len(two.bodies)) >= 8


def test_it_asks_what_was_asked_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "s3cret")
    stub = Stub(echo)
    with serving(stub):
        request = Request((("user", "hi"),), Sampling(9, 0.5, 4), schema='{"type": "object"}')
        ask(settings(stub.url, key="TEACHER_KEY"), [request])
    (body,) = stub.bodies
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 9, 0.5)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert stub.headers[0]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [429, 408, 500, 502, 503])
def test_a_server_that_is_busy_or_broken_for_a_while_is_asked_again(status: int) -> None:
    stub = Stub(lambda number, body: refused(status) if number in (1, 2, 6, 7) else echo(number, body))
    with serving(stub):
        replies = ask(settings(stub.url), requests(12))
    assert len(replies) == 12
    assert all(isinstance(reply, Reply) for reply in replies.values())


def test_a_server_is_left_alone_as_long_as_it_asks() -> None:
    seen: list[float] = []

    def busy(number: int, body: dict[str, Any]) -> Answer:
        seen.append(time.monotonic())
        return refused(429, Retry_After="0.4") if number == 1 else echo(number, body)

    stub = Stub(busy)
    with serving(stub):
        ask(settings(stub.url, longest_wait=5.0, in_flight=1), requests(2))
    assert seen[1] - seen[0] >= 0.4


def test_a_reply_that_takes_too_long_is_asked_for_elsewhere() -> None:
    def stuck(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(1.0)
        return echo(number, body)

    slow, quick = Stub(stuck), Stub(echo)
    with serving(slow, quick):
        replies = ask(settings(slow.url, quick.url, timeout=0.2), requests(10))
    assert all(isinstance(reply, Reply) for reply in replies.values())
    assert len(replies) == 10


@pytest.mark.parametrize("content", ["<html>gateway</html>", "", "[1, 2]"])
def test_what_is_no_json_object_is_a_failure_of_the_server(content: str) -> None:
    stub = Stub(lambda number, body: (200, content, {}) if number == 1 else echo(number, body))
    with serving(stub):
        assert isinstance(ask(settings(stub.url), requests(1))["question 0"], Reply)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"choices": []},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
        {"choices": "none"},
    ],
)
def test_a_reply_without_an_answer_is_a_failed_request(content: dict[str, Any]) -> None:
    stub = Stub(lambda number, body: (200, content, {}))
    with serving(stub):
        reply = ask(settings(stub.url), requests(1))["question 0"]
    assert isinstance(reply, Failure)
    assert "lacks what was asked for" in reply.reason


def test_a_request_that_is_refused_is_not_sent_again() -> None:
    def picky(number: int, body: dict[str, Any]) -> Answer:
        return refused(400, "too long") if "question 1" in str(body) else echo(number, body)

    stub = Stub(picky)
    with serving(stub):
        replies = ask(settings(stub.url), requests(3))
    assert replies["question 1"] == Failure("the server refused the request: 400 too long")
    assert isinstance(replies["question 2"], Reply)
    assert len(stub.bodies) == 3


def test_a_request_that_breaks_every_server_is_given_up_and_the_others_go_on() -> None:
    def fragile(number: int, body: dict[str, Any]) -> Answer:
        return refused(500, "oops") if "question 1" in str(body) else echo(number, body)

    one, two = Stub(fragile), Stub(fragile)
    with serving(one, two):
        replies = ask(settings(one.url, two.url, in_flight=1), requests(5))
    failed = replies.pop("question 1")
    assert isinstance(failed, Failure)
    assert "though the server is up: 500 oops" in failed.reason
    assert len(replies) == 4
    assert all(isinstance(reply, Reply) for reply in replies.values())


def test_it_stops_when_every_server_fails_and_what_came_before_is_there() -> None:
    dying = Stub(lambda number, body: echo(number, body) if number <= 6 else refused(503, "out"), models=503)
    with serving(dying):
        url = dying.url
        teacher = OpenAiTeacher("m", settings(url, "http://127.0.0.1:9/v1"), token_ids=False)
        got = []
        with pytest.raises(ModelError) as caught:
            for _, replies in teacher.ask((request,) for request in requests(20)):
                got += replies
    assert len(got) == 6
    told = str(caught.value)
    assert told.startswith("every server failed (")
    assert f"{url}: 3 failures in a row, the last: 503 out" in told
    assert "http://127.0.0.1:9/v1: 3 failures in a row, the last: Connect" in told
    assert "--resume" in told


@pytest.mark.parametrize(("status", "message"), [(401, "bad key"), (403, "not yours"), (404, "no such model")])
def test_what_asking_again_cannot_help_stops_at_once(status: int, message: str) -> None:
    stub = Stub(lambda number, body: refused(status, message))
    with serving(stub), pytest.raises(ModelError, match=f"{status} {message}"):
        ask(settings(stub.url, in_flight=1), requests(3))
    assert len(stub.bodies) == 1


def test_servers_that_are_there_but_never_answer_end_it() -> None:
    stub = Stub(lambda number, body: refused(500, "dead engine"))
    with serving(stub), pytest.raises(ModelError, match="dead engine"):
        ask(settings(stub.url), requests(20))
    assert len(stub.bodies) < 20


def test_a_server_that_takes_no_token_ids_is_asked_in_messages() -> None:
    def chat_only(number: int, body: dict[str, Any]) -> Answer:
        return echo(number, body) if "messages" in body else refused(404, "no such path")

    stub = Stub(chat_only)
    with serving(stub):
        teacher = OpenAiTeacher("m", settings(stub.url))
        assert teacher.abilities == {"schema"}
        ((_, (reply,)),) = list(teacher.ask((request,) for request in requests(1)))
    assert reply == Reply(text="said question 0", read=3, written=2)


def test_servers_that_are_down_are_not_taken_for_ones_without_token_ids() -> None:
    with pytest.raises(ModelError, match=r"every server failed .*Connect"):
        OpenAiTeacher("m", settings("http://127.0.0.1:9/v1"))


def test_requests_that_fail_together_count_as_one_failure() -> None:
    def starting(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.1)
        return refused(503, "loading") if number <= 8 else echo(number, body)

    stub = Stub(starting)
    with serving(stub):
        replies = ask(settings(stub.url, in_flight=8), requests(12))
    assert len(replies) == 12
    assert all(isinstance(reply, Reply) for reply in replies.values())


def test_tokens_are_guessed_where_a_server_does_not_count_them() -> None:
    def uncounted(number: int, body: dict[str, Any]) -> Answer:
        status, content, headers = echo(number, body)
        assert isinstance(content, dict)
        return status, {"choices": content["choices"]}, headers

    stub = Stub(uncounted)
    with serving(stub):
        reply = ask(settings(stub.url), requests(1))["question 0"]
    # A quarter of the characters: "question 0", and "said question 0".
    assert isinstance(reply, Reply)
    assert (reply.read, reply.written) == (3, 4)
