"""The app as docs/serve.md gives it to granian: it ranks, streams, and drops the work of a client that has gone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.contracts.presence import need
from tests.contracts.texts import QUERY, TEXTS

need("granian")
ROOT = Path(__file__).resolve().parents[3]


def ask(url: str, body: object | None = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=60) as reply:
        return str(reply.read().decode())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.tiny import strong_adapter

    return strong_adapter(tmp_path_factory.mktemp("model"))


@pytest.fixture
def url(model: Path, tmp_path: Path) -> Iterator[str]:
    shown = re.search(r"```python\n(# judge\.py.*?)```", (ROOT / "docs" / "serve.md").read_text("utf-8"), re.DOTALL)
    assert shown
    (tmp_path / "judge.py").write_text(shown[1].replace('"runs/demo/rl"', repr(str(model))))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [Path(sys.executable).with_name("granian"), "--interface", "asgi", "--port", port, "judge:app"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        address = f"http://127.0.0.1:{port}"
        begun = time.monotonic()
        try:
            while True:
                assert process.poll() is None and time.monotonic() - begun < 120
                try:
                    ask(f"{address}/ready")
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            # The end of `with` waits for it.
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_it_ranks_streams_and_stops_for_who_has_gone(url: str, model: Path) -> None:
    from interank import Reranker

    expected = Reranker(model).rank(QUERY, TEXTS)
    asked = {"query": QUERY, "documents": TEXTS}
    found = json.loads(ask(f"{url}/v2/rerank", asked))["results"]
    assert [str(item["index"]) for item in found] == [item.doc_id for item in expected]
    assert [item["raw_score"] for item in found] == pytest.approx([item.score for item in expected], abs=1e-6)
    events = re.findall(r"^event: (\w+)$", ask(f"{url}/v2/rerank", {**asked, "stream": True}), re.MULTILINE)
    assert (events[0], events[-1]) == ("ranking", "done")
    large = json.dumps({"query": QUERY, "documents": [f"{n}: {' '.join(TEXTS) * 16}" for n in range(900)]})
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST /rerank HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(large)}\r\n\r\n{large}".encode())
        while "interank_requests_running 1.0" not in ask(f"{url}/metrics"):
            time.sleep(0.02)
    begun = time.monotonic()
    while 'status="499"' not in (figures := ask(f"{url}/metrics")):
        assert time.monotonic() - begun < 60
        time.sleep(0.1)
    assert "interank_requests_running 0.0" in figures
