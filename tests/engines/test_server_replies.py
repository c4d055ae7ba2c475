"""No number and no text from a server is used before it is finite, in range and of its type: each kind of bad reply."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import Prompt
from interank.engines.protocol import Failure, Reply, Request, Sampling
from interank.engines.rollout_servers import RolloutServers
from interank.errors import ModelError
from interank.reranking.reranker import Reranker
from interank.settings import RolloutServersRecipe, ServerRecipe
from tests.support.faulty import CHATS, GRADES, LABELLED, WRITTEN, Made, chat, graded, tokens
from tests.support.stub import Answer, Content, Stub, serving

VOCABULARY = 900
LABELS = (5, 6, 7)
IN_WORDS = Request((("user", "is it relevant?"),), Sampling(32))
IN_IDS = Request(Prompt((1,), (2,), (3,)), Sampling(32), end=2)
FOR_LABELS = Request(Prompt((1,), (2,), (3,)), Sampling(1), labels=LABELS)


def settings(url: str) -> ServerRecipe:
    return ServerRecipe(urls=(url,), attempts=2, longest_wait=0.01, timeout=5.0)


class Scripted:
    """A server that answers whatever it is told to."""

    def __init__(self) -> None:
        self.content: Content | Made = {}
        self.stub = Stub(self._answer)

    def _answer(self, number: int, body: dict[str, Any]) -> Answer:
        if "lora_name" in body:
            return 200, "{}", {}
        return 200, self.content(body) if callable(self.content) else self.content, {}

    def asked(self, request: Request, content: Content | Made) -> Reply | Failure:
        """What comes of this answer to a request."""
        self.content = content
        return ask(self.stub, request)

    def rollouts(self, content: Content | Made) -> RolloutServers:
        """It as a server of rollouts, which has taken an adapter."""
        self.content = content
        recipe = RolloutServersRecipe(urls=(self.stub.url,), attempts=2, longest_wait=0.01)
        engine = RolloutServers(recipe, vocabulary=VOCABULARY)
        engine.take_adapter(Path("adapter"))
        return engine


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    with serving(scripted.stub):
        yield scripted


def ask(stub: Stub, request: Request) -> Reply | Failure:
    teacher = OpenAiTeacher("m", settings(stub.url), token_ids=True, vocabulary=VOCABULARY)
    ((_, (reply,)),) = list(teacher.ask(iter([(request,)])))
    return reply


@pytest.mark.parametrize(("content", "fault"), CHATS.values(), ids=CHATS)
def test_a_bad_reply_in_words_is_failed_with_its_reason(server: Scripted, content: Content, fault: str) -> None:
    reply = server.asked(IN_WORDS, content)
    assert isinstance(reply, Failure)
    assert fault in reply.reason
    reply.reason.encode()


@pytest.mark.parametrize(("content", "fault"), WRITTEN.values(), ids=WRITTEN)
def test_a_bad_reply_in_token_ids_is_failed_with_its_reason(server: Scripted, content: Content, fault: str) -> None:
    reply = server.asked(IN_IDS, content)
    assert isinstance(reply, Failure)
    assert fault in reply.reason


@pytest.mark.parametrize(("made", "fault"), LABELLED.values(), ids=LABELLED)
def test_a_bad_grade_is_failed_with_its_reason(server: Scripted, made: Made, fault: str) -> None:
    reply = server.asked(FOR_LABELS, made)
    assert isinstance(reply, Failure)
    assert fault in reply.reason


def test_what_rounding_puts_above_the_bounds_is_a_grade(server: Scripted) -> None:
    reply = server.asked(FOR_LABELS, lambda body: graded(body, 4e-6, -14.0, -15.0))
    assert isinstance(reply, Reply)
    assert reply.labels is not None
    assert reply.labels.logits == (4e-6, -14.0, -15.0)
    assert reply.labels.mass == 1.0
    reply = server.asked(FOR_LABELS, lambda body: graded(body, 4e-5, -14.0, -15.0))
    assert isinstance(reply, Failure)


def test_what_a_hosted_server_counts_of_its_own_is_allowed(server: Scripted) -> None:
    reply = server.asked(IN_WORDS, chat(usage={"prompt_tokens": 900, "completion_tokens": 600}))
    assert isinstance(reply, Reply)
    assert (reply.read, reply.written) == (900, 600)


def test_bad_answers_in_json_are_for_their_requests_to_bear_and_not_for_the_server() -> None:
    def answer(number: int, body: dict[str, Any]) -> Answer:
        bad = int(body["messages"][0]["content"]) % 2
        return 200, CHATS["nested too deeply"][0] if bad else chat(), {}

    stub = Stub(answer)
    with serving(stub):
        teacher = OpenAiTeacher("m", settings(stub.url), token_ids=False)
        asked = [(Request((("user", str(number)),), Sampling(9)),) for number in (1, 3, 5, 7, 9, 11, 2, 4)]
        found = {unit[0].prompt[0][1]: reply for unit, (reply,) in teacher.ask(iter(asked))}  # type: ignore[index]
    assert {number for number, reply in found.items() if isinstance(reply, Reply)} == {"2", "4"}  # type: ignore[comparison-overlap]
    assert len(stub.bodies) == 6 * 2 + 2


def test_a_servers_own_words_can_be_printed_and_stored() -> None:
    error = '{"error":{"message":"\\u001b]0;PWNED\\u0007\\u001b[31mred \\u202e \\ud800"}}'
    stub = Stub(lambda number, body: (400, error, {}))
    with serving(stub):
        reply = ask(stub, IN_WORDS)
    assert isinstance(reply, Failure)
    assert reply.reason.isprintable()
    assert "red" in reply.reason
    reply.reason.encode()


def test_a_body_that_cannot_be_unpacked_is_the_servers_failure() -> None:
    stub = Stub(lambda number, body: (200, chat(), {"Content_Encoding": "gzip"} if number == 1 else {}))
    with serving(stub):
        assert isinstance(ask(stub, IN_WORDS), Reply)


@pytest.mark.parametrize("name", GRADES)
def test_a_ranking_stops_and_names_server_and_document(tiny_folder: Path, name: str) -> None:
    told, fault = GRADES[name]
    stub = Stub(lambda number, body: (200, graded(body, *(told if number == 2 else (-0.1, -3.0, -4.0))), {}))
    given = {"urls": stub.url, "api": "tokens", "in_flight": 1}
    with serving(stub):
        reranker = Reranker(tiny_folder, engine="openai", server=given)
        with pytest.raises(ModelError) as caught:
            reranker.rank("why?", [{"id": "one", "text": "a"}, {"id": "two", "text": "b"}])
    assert f"document 'two': {stub.url} gave no usable answer to prompt 2 of 2" in str(caught.value)
    assert fault in str(caught.value)


@pytest.mark.parametrize("name", ["an id beyond the vocabulary", "more ids than were asked for", "no UTF-8"])
def test_an_explanation_stops_and_names_server_and_document(tiny_folder: Path, name: str) -> None:
    content, fault = WRITTEN[name]
    stub = Stub(
        lambda number, body: (200, graded(body, -0.1, -3.0, -4.0) if "logprob_token_ids" in body else content, {})
    )
    given = {"urls": stub.url, "api": "tokens", "in_flight": 1}
    with serving(stub):
        reranker = Reranker(tiny_folder, engine="openai", server=given, mode="explain")
        with pytest.raises(ModelError) as caught:
            reranker.rank("why?", [{"id": "one", "text": "a"}])
    assert f"document 'one': {stub.url}" in str(caught.value)
    assert fault in str(caught.value)


@pytest.mark.parametrize("name", [name for name in WRITTEN if "usage" not in name])
def test_bad_rollouts_stop_the_training(server: Scripted, name: str) -> None:
    content = copy.deepcopy(WRITTEN[name][0])
    if "id" in name:
        assert isinstance(content, dict)
        content["choices"][0]["logprobs"] = {
            "token_logprobs": [-0.1, -0.2][: len(content["choices"][0]["token_ids"] or ())]
        }
    with pytest.raises(ModelError, match="rollout server"):
        server.rollouts(content).generate([Prompt((1,), (2,), (3,))], Sampling(32), end=2)


@pytest.mark.parametrize("odd", [math.nan, -math.inf, 0.5, True, None, "x"])
def test_bad_log_probabilities_of_rollouts_stop_the_training(server: Scripted, odd: object) -> None:
    engine = server.rollouts(tokens([5, 6], choice={"logprobs": {"token_logprobs": [-0.5, -0.25]}}))
    (sound,) = engine.generate([Prompt((1,), (2,), (3,))], Sampling(32), end=2)
    assert sound.logprobs == (-0.5, -0.25)
    server.content = tokens([5, 6], choice={"logprobs": {"token_logprobs": [-0.5, odd]}})
    with pytest.raises(ModelError, match="rollout server returned no usable"):
        engine.generate([Prompt((1,), (2,), (3,))], Sampling(32), end=2)


@pytest.mark.parametrize(("made", "fault"), [LABELLED[name] for name in GRADES], ids=GRADES)
def test_bad_grades_of_rollouts_stop_the_training(server: Scripted, made: Made, fault: str) -> None:
    with pytest.raises(ModelError, match="rollout server returned no usable") as caught:
        server.rollouts(made).label_logits([Prompt((1,), (2,), (3,))], LABELS)
    assert fault in str(caught.value)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 2**63, 899, 900, -1])
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=6)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
SOUND = {
    IN_WORDS: chat(),
    IN_IDS: tokens([5, 6, 2]),
    FOR_LABELS: graded({"logprob_token_ids": LABELS}, -0.1, -3.0, -4.0),
}


def places(value: Any) -> list[tuple[Any, ...]]:
    """Where something can be put in another's place."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, part in inner for rest in places(part))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Request, Any]:
    """A sound reply with one or two of its parts replaced or taken out."""
    request = draw(st.sampled_from(list(SOUND)))
    content: Any = copy.deepcopy(SOUND[request])
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(content)))
        value = draw(VALUES)
        if not path:
            content = value
            continue
        whole = content
        for key in path[:-1]:
            whole = whole[key]
        if isinstance(whole, dict) and draw(st.booleans()):
            del whole[path[-1]]
        else:
            whole[path[-1]] = value
    return request, content


@given(asked=mutated())
@drawn(max_examples=120, deadline=None)
def test_any_json_is_a_sound_reply_or_failed(asked: tuple[Request, Any], server: Scripted) -> None:
    request, content = asked
    reply = server.asked(request, json.dumps(content))
    if isinstance(reply, Failure):
        assert reply.reason
        reply.reason.encode()
        return
    json.dumps(reply.text, ensure_ascii=False).encode()
    assert all(type(index) is int and 0 <= index < VOCABULARY for index in reply.ids)
    assert len(reply.ids) <= request.sampling.max_new_tokens
    assert type(reply.read) is int and 0 <= reply.read < 2000
    assert type(reply.written) is int and 0 <= reply.written < 2000
    assert type(reply.finished) is bool
    if request.labels:
        assert reply.labels is not None
        assert all(type(logit) is float and -math.inf < logit <= 1e-5 for logit in reply.labels.logits)
        assert 0 <= reply.labels.mass <= 1
        assert reply.labels.mass == pytest.approx(sum(map(math.exp, reply.labels.logits)), abs=1e-4)
