"""Every client that is installed here asks `interank serve`, ranks as `Reranker` does, and reads its refusals."""

from __future__ import annotations

import json
import os
import time
from typing import get_args

import pytest

from tests.contracts.clients.asking import CLIENTS, Client
from tests.contracts.clients.expectations import Served, Why
from tests.contracts.presence import found
from tests.contracts.texts import QUERY, TEXTS

GIVEN = os.environ.get("INTERANK_SERVED")
pytestmark = [
    pytest.mark.filterwarnings("default", "ignore::ResourceWarning"),
    pytest.mark.skipif(GIVEN is None, reason="asks servers that `make contracts` starts"),
]

HERE = [client for client in CLIENTS if found(client.needs)]
each = pytest.mark.parametrize("client", HERE, ids=[client.name for client in HERE])


@pytest.fixture(scope="module")
def served() -> Served:
    assert GIVEN is not None
    return Served(**json.loads(GIVEN))


@each
def test_it_ranks_as_reranker_does(served: Served, client: Client) -> None:
    ranked = client.ask(served.url, served.keys[0], QUERY, TEXTS)
    assert [place for place, _ in ranked] == served.best
    expected = [served.scores[place] for place in served.best] if client.raw else served.relevance
    assert [score for _, score in ranked] == pytest.approx(expected, abs=1e-6)


@each
@pytest.mark.parametrize("why", get_args(Why))
def test_a_refusal_is_its_own_error_with_the_servers_words(
    served: Served, client: Client, why: Why, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served.refusing(why) as refused, monkeypatch.context() as patched:
        # Some try again, as long as the server asks them to wait.
        patched.setattr(time, "sleep", lambda _: None)
        with pytest.raises(Exception) as caught:
            client.ask(refused.url, refused.key, refused.query, refused.texts)
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(caught.value).__mro__]
    assert client.error in kinds, caught.value
    if client.heard:
        assert refused.words in f"{caught.value} {vars(caught.value)}"
