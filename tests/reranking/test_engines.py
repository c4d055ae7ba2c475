"""The same ranking from every engine that can be named, its adapter apart or merged; refusals where it cannot be."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interank import Reranker
from interank.cli.app import main
from interank.errors import InputError, ModelError
from interank.modes import Mode
from interank.types import Document, Query
from tests.support import rule
from tests.support.rankers import judge_of, windows_of
from tests.support.servers import VllmServer, small_vllm
from tests.support.stub import Stub, refused, said, serving
from tests.support.tiny import strong_adapter

# vLLM and what it imports warn of their own and of torch's old ways.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; `make vllm` installs its build for CPUs"
)

QUERY = "Where is the red fox?"
DOCUMENTS = [Document(f"d{n}", rule.document_text("red", animal, "barn")) for n, animal in enumerate(rule.ANIMALS)]
MODES: tuple[Mode, ...] = ("score", "explain", "reason")
TOKENS = 6
# Different kernels add in different orders.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEFT adapter that moves every score, and beside it the model with the adapter in it."""
    return strong_adapter(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make vllm` installs its build for CPUs")
    merged, log = adapter.parent / "merged", tmp_path_factory.mktemp("server") / "log"
    with VllmServer(merged, log, name="judge", max_length=1024) as started:
        started.wait()
        yield started


@pytest.fixture(scope="module", params=["vllm", "openai"])
def other(request: pytest.FixtureRequest, adapter: Path) -> Iterator[Reranker]:
    """A reranker on an engine that is not transformers."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make vllm` installs its build for CPUs")
    if request.param == "openai":
        url = request.getfixturevalue("server").url
        given = {"urls": url, "model": "judge"}
        yield Reranker(adapter.parent / "merged", engine="openai", server=given, max_reasoning_tokens=TOKENS)
        return
    with small_vllm():
        yield Reranker(adapter, engine="vllm", max_reasoning_tokens=TOKENS)


@pytest.fixture(scope="module")
def plain(adapter: Path) -> Reranker:
    return Reranker(adapter, max_reasoning_tokens=TOKENS)


def in_mode(reranker: Reranker, mode: Mode) -> Reranker:
    judge = judge_of(reranker)
    return Reranker.on(judge.engine, judge.encoder, mode=mode, max_reasoning_tokens=TOKENS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_engine_gives_the_same_ranking(plain: Reranker, other: Reranker, mode: Mode) -> None:
    expected = in_mode(plain, mode).rank(QUERY, DOCUMENTS)
    found = in_mode(other, mode).rank(QUERY, DOCUMENTS)
    assert [item.doc_id for item in found] == [item.doc_id for item in expected]
    assert [item.score for item in found] == pytest.approx([item.score for item in expected], abs=TOLERANCE)
    assert [item.explanation for item in found] == [item.explanation for item in expected]
    assert [item.label_mass for item in found] == pytest.approx([item.label_mass for item in expected], abs=1e-4)
    assert any(item.explanation for item in found) == (mode != "score")


@pytest.mark.slow
def test_every_engine_writes_the_same_about_the_same_windows(plain: Reranker, other: Reranker) -> None:
    lists = {"window": 3, "step": 1, "prompt": {"form": "direct", "max_length": 700}}
    query, windows = Query("q", QUERY), [DOCUMENTS[begin : begin + 3] for begin in range(6)]
    written = []
    for opened in (plain, other):
        judge = judge_of(opened)
        reranker = Reranker.on(judge.engine, judge.encoder, mode="listwise", lists=lists)
        written.append(windows_of(reranker).texts(query, windows)[0])
        assert len(reranker.rank(QUERY, DOCUMENTS)) == len(DOCUMENTS)
        assert reranker.counts.answers == 6
    # Kernels that add in different orders may write otherwise where two tokens are nearly as likely.
    assert sum(one == two for one, two in zip(*written, strict=True)) >= 5


@pytest.mark.slow
def test_the_adapter_is_in_every_engine(plain: Reranker, other: Reranker, adapter: Path) -> None:
    base = {item.doc_id: item.score for item in Reranker(adapter.parent / "base").rank(QUERY, DOCUMENTS)}
    for reranker in (plain, other):
        moved = [abs(item.score - base[item.doc_id]) for item in reranker.rank(QUERY, DOCUMENTS)]
        assert min(moved) > 10 * TOLERANCE


@pytest.mark.slow
def test_every_engine_is_awaited(plain: Reranker, other: Reranker) -> None:
    found = asyncio.run(other.arank(QUERY, DOCUMENTS))
    assert [item.doc_id for item in found] == [item.doc_id for item in plain.rank(QUERY, DOCUMENTS)]


@pytest.mark.slow
def test_a_rank_inside_an_event_loop_is_one(server: VllmServer, adapter: Path) -> None:
    async def in_a_notebook() -> int:
        given = {"urls": server.url, "model": "judge"}
        reranker = Reranker(adapter.parent / "merged", engine="openai", server=given)
        return len(reranker.rank(QUERY, DOCUMENTS[:2]))

    assert asyncio.run(in_a_notebook()) == 2


@pytest.mark.slow
def test_a_document_of_any_length_fits_every_engine(other: Reranker) -> None:
    ranking = other.rank(QUERY, [Document("long", "fox " * 100_000), *DOCUMENTS[:1]])
    assert {item.doc_id: item.truncated > 90_000 for item in ranking} == {"long": True, "d0": False}


@pytest.mark.slow
def test_the_command_asks_servers(
    server: VllmServer, plain: Reranker, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.jsonl"
    texts = [{"id": document.doc_id, "text": document.text} for document in DOCUMENTS]
    asked.write_text(json.dumps({"query_id": "q", "query": QUERY, "documents": texts}))
    line = ["rerank", str(adapter.parent / "merged"), "--requests", str(asked), "--json", "--engine", "openai"]
    assert main([*line, "--server", server.url, "--served-name", "judge"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert [item["doc_id"] for item in ranking] == [item.doc_id for item in plain.rank(QUERY, DOCUMENTS)]
    # A name that the server does not know, as the folder's is none of its own.
    assert main([*line, "--server", server.url]) == 1
    assert "mode score needs an engine with label_logits and token_ids" in capsys.readouterr().err


@pytest.mark.parametrize("mode", MODES)
def test_a_server_of_messages_is_refused(tiny_folder: Path, mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    stub = Stub(lambda number, body: said("2") if "messages" in body else refused(404, "no such path"))
    with serving(stub), pytest.raises(InputError, match=f"mode {mode} .*label_logits and token_ids"):
        Reranker(tiny_folder, engine="openai", server=stub.url, mode=mode)
    assert "takes messages only" in caplog.text


def test_a_server_that_is_down_is_told(tiny_folder: Path) -> None:
    given = {"urls": "http://127.0.0.1:9/v1", "attempts": 2, "longest_wait": 0.05}
    with pytest.raises(ModelError, match=r"every server failed \(http://127\.0\.0\.1:9/v1"):
        Reranker(tiny_folder, engine="openai", server=given)


def test_a_request_that_a_server_refuses_is_no_grade(tiny_folder: Path) -> None:
    stub = Stub(lambda number, body: refused(400, "too long"))
    given = {"urls": stub.url, "api": "tokens"}
    with serving(stub):
        reranker = Reranker(tiny_folder, engine="openai", server=given)
        told = r"query 'query', document 'd0': http\S+ gave no usable answer to prompt 1 of 8: .*too long"
        with pytest.raises(ModelError, match=told):
            reranker.rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": "llama"}, "'llama'.*transformers, vllm, openai"),
        ({"engine": "openai"}, "engine openai and a server belong together"),
        ({"server": "http://host/v1"}, "engine openai and a server belong together"),
        ({"engine": "vllm", "precision": "nf4"}, "precision nf4 is for engine transformers"),
        ({"precision": "int8"}, "precision int8"),
        ({"precision": "fp8"}, "precision 'fp8'.*exact, bfloat16, nf4"),
        ({"engine": "openai", "server": "host:8000"}, "number 1 is no address.*http://HOST:PORT/v1"),
        ({"engine": "openai", "server": {"urls": ""}}, "was given no server's address"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_folder: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Reranker(tiny_folder, **given)


@needs_vllm
def test_an_adapter_that_vllm_cannot_apply_is_refused_before_the_model_is_loaded(adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(adapter, tmp_path / "dora")
    config = tmp_path / "dora" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(ModelError, match=r"adapter .*dora.*DoRA"):
        Reranker(tmp_path / "dora", engine="vllm")
