"""The code that the server's page gives to copy, for curl, Python and Cohere's SDK, ranks as `Reranker` does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from interank.pages import asset
from tests.contracts.clients.expectations import MODEL, Served
from tests.contracts.presence import need
from tests.contracts.texts import QUERY, TEXTS

need("cohere")
GIVEN = os.environ.get("INTERANK_SERVED")
pytestmark = [
    pytest.mark.skipif(GIVEN is None, reason="asks servers that `make contracts` starts"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed; the page's script runs in it"),
]
HOSTILE = ['it\'s $HOME `date` "q" \\ %s', 'two\n"""lines"""', "ünï 🐟 \u2028 {end}"]


@pytest.fixture(scope="module")
def served() -> Served:
    return Served(**json.loads(GIVEN or ""))


def codes(served: Served, query: str, documents: object, explain: int = 0, **settings: str) -> dict[str, str]:
    """What the page at the server's address shows in each form, of what stands in its fields."""
    asked = {
        "scripts": asset("input.js", "models.js", "code.js", package="interank.serving.page"),
        "address": f"{served.url}/?a=b#c",
        "query": query,
        "documents": json.dumps(documents),
        "settings": {"model": MODEL} | settings,
        "explain": explain,
    }
    node = ["node", str(Path(__file__).with_name("page_code.cjs"))]
    done = subprocess.run(node, input=json.dumps(asked), capture_output=True, text=True, check=True)
    made: dict[str, str] = json.loads(done.stdout)
    return made


def told(served: Served, command: list[str]) -> str:
    environment = os.environ | {"INTERANK_KEY": served.keys[0], "PYTHONWARNINGS": "ignore::ResourceWarning"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(served: Served, code: str) -> list[tuple[int, float, str]]:
    """Places, scores and explanations that code in Python prints, best first."""
    lines = told(served, [sys.executable, "-c", code]).removesuffix("\n")
    # An explanation may have lines of its own.
    parts = re.split(r"^(\d+) (\d\.[\de-]+) ", lines, flags=re.MULTILINE)[1:]
    return [
        (int(place), float(score), words.removesuffix("\n"))
        for place, score, words in zip(*[iter(parts)] * 3, strict=True)
    ]


def replied(served: Served, code: str) -> list[Mapping[str, object]]:
    """The results of code for a shell, best first."""
    results: list[Mapping[str, object]] = json.loads(told(served, ["sh", "-c", code]))["results"]
    return results


@pytest.mark.parametrize("form", ["python", "cohere"])
def test_code_in_python_ranks_as_reranker_does(served: Served, form: str) -> None:
    found = printed(served, codes(served, QUERY, TEXTS)[form])
    assert [place for place, _, _ in found] == served.best
    assert [score for _, score, _ in found] == pytest.approx(served.relevance, abs=1e-6)
    assert {words for *_, words in found} == {"None"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_code_for_curl_ranks_as_reranker_does(served: Served) -> None:
    found = replied(served, codes(served, QUERY, TEXTS)["curl"])
    assert [each["index"] for each in found] == served.best
    assert [each["relevance_score"] for each in found] == pytest.approx(served.relevance, abs=1e-6)


@pytest.mark.parametrize("query", [QUERY, 'what\'s \\n $(this) """?'])
@pytest.mark.parametrize(("guard", "explain"), [("none", 0), ("fence", 0), ("none", 2)])
def test_every_form_asks_the_same_whatever_the_texts(served: Served, query: str, guard: str, explain: int) -> None:
    documents = [{"title": "A title", "text": HOSTILE[0]}, *HOSTILE[1:], *TEXTS]
    made = codes(served, query, documents, explain, guard=guard)
    found = printed(served, made["python"])
    assert printed(served, made["cohere"]) == found
    assert sorted(place for place, *_ in found) == list(range(len(documents)))
    assert sum(words != "None" for *_, words in found) == explain
    if shutil.which("curl"):
        results = replied(served, made["curl"])
        assert [(each["index"], each["relevance_score"]) for each in results] == [
            (place, score) for place, score, _ in found
        ]
