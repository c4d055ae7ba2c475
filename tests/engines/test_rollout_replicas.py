"""Servers of rollouts behind which several replicas stand are refused before any of them is handed an adapter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from interank.engines.rollout_servers import RolloutServers
from interank.errors import ModelError
from interank.settings import RolloutServersRecipe

# As vLLM 0.32 writes them.
METRICS = 'vllm:num_requests_running{{engine="{0}",model_name="m"}} 0.0\n'


@contextmanager
def serving(replicas: int) -> Iterator[tuple[str, list[str]]]:
    """A server with so many engines, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send("".join(METRICS.format(number) for number in range(replicas)))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send("ok")

        def _send(self, text: str) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


def test_replicas_behind_one_address_are_refused_with_the_commands_to_start(tmp_path: Path) -> None:
    with serving(3) as (url, asked):
        with pytest.raises(ModelError, match="3 data-parallel replicas") as told:
            RolloutServers(RolloutServersRecipe(urls=(url,))).take_adapter(tmp_path)
        assert asked == ["/metrics"]
    assert str(told.value).count("vllm serve") == 3


def test_a_server_of_one_engine_is_handed_the_adapter(tmp_path: Path) -> None:
    with serving(1) as (url, asked):
        RolloutServers(RolloutServersRecipe(urls=(url,))).take_adapter(tmp_path)
        assert asked == ["/metrics", "/v1/load_lora_adapter"]
