"""A real HTTP server in the manner of OpenAI's, whose replies a function gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

READ, WRITTEN = 500, 60
Content = dict[str, Any] | str | bytes
Answer = tuple[int, Content, dict[str, str]]


def said(text: str, finish: str = "stop") -> Answer:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, {}


def priced(answer: Callable[[int, dict[str, Any]], Answer]) -> Callable[[int, dict[str, Any]], Answer]:
    """The same answers, of as many tokens as prompts and replies of some length may have: READ and WRITTEN."""

    def say(number: int, body: dict[str, Any]) -> Answer:
        status, content, headers = answer(number, body)
        assert isinstance(content, dict)
        return status, {**content, "usage": {"prompt_tokens": READ, "completion_tokens": WRITTEN}}, headers

    return say


def refused(status: int, message: str = "no", **headers: str) -> Answer:
    return status, {"error": {"message": message}}, headers


class Server(ThreadingHTTPServer):
    """Lets as many wait as ask at once: of more than five in its queue others would be sent away, on a busy machine."""

    request_queue_size = 128


class Stub:
    """A real HTTP server whose replies a function gives: of the how manieth request, and its body."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer], models: int = 200) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                data = self.rfile.read(length)
                if len(data) < length:
                    # The client was killed while it sent.
                    return
                body = json.loads(data)
                with lock:
                    stub.bodies.append(body)
                    stub.headers.append(dict(self.headers))
                    number = len(stub.bodies)
                    stub.at_once += 1
                    stub.most_at_once = max(stub.most_at_once, stub.at_once)
                try:
                    self._send(*answer(number, body))
                finally:
                    with lock:
                        stub.at_once -= 1

            def do_GET(self) -> None:
                self._send(models, {"data": []}, {})

            def _send(self, status: int, content: Content, headers: dict[str, str]) -> None:
                text = json.dumps(content) if isinstance(content, dict) else content
                data = text if isinstance(text, bytes) else text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


@contextmanager
def serving(*stubs: Any) -> Iterator[None]:
    """Servers, each with its thread, that are gone with the block."""
    for stub in stubs:
        stub.thread.start()
    try:
        yield
    finally:
        for stub in stubs:
            stub.server.shutdown()
            stub.server.server_close()
            stub.thread.join()
