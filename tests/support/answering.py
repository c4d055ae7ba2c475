"""A server for the page of `interank serve`, which answers as docs/serve.md tells with what a test gives it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from interank.serving.page import page

MODELS = [
    {
        "id": "general",
        "object": "model",
        "default": True,
        "modes": ["score", "explain", "reason"],
        "default_mode": "score",
        "guards": ["none", "fence"],
        "explains": True,
    },
    {
        "id": "legal",
        "object": "model",
        "modes": ["score"],
        "default_mode": "score",
        "guards": ["none"],
        "explains": False,
    },
]


@dataclass
class Answering:
    """What the server does, and what it was asked."""

    url: str = ""
    results: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """By model, else by mode, best first."""
    explanations: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """By index of the document: `explanation` and `quotes`."""
    whole: Mapping[str, Any] = field(default_factory=dict)
    """More keys of a reply."""
    refuses: tuple[int, Mapping[str, Any]] | None = None
    pause: float = 0.0
    """Seconds between events."""
    models: list[dict[str, Any]] = field(default_factory=lambda: [dict(model) for model in MODELS])
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    """Connections that were closed before their end."""

    def events(self, asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """All events of one reply."""
        listed = self.results.get(asked.get("model", "")) or self.results.get(asked.get("mode", "")) or []
        results = [{"score_kind": "grade", "truncated": 0, "explanation": None, **result} for result in listed]
        meta = {"warnings": [], "interank": {"mode": asked.get("mode"), "seconds": 0.25, "tokens_read": 1234}}
        yield "ranking", {"id": "r", "model": asked.get("model"), "results": results, "meta": meta, **self.whole}
        for result in results[: asked.get("explain") or 0]:
            if told := self.explanations.get(result["index"]):
                words = told["explanation"].split(" ")
                for place, word in enumerate(words):
                    yield "delta", {"index": result["index"], "text": word if place == 0 else f" {word}"}
                yield "explanation", {"index": result["index"], **told}
        yield "done", {"id": "r", "seconds": 0.5, "queued_seconds": 0.125, "tokens_read": 1234, "tokens_written": 56}


@contextmanager
def answering() -> Iterator[Answering]:
    """The server, on a port of its own."""
    told = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

        def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def json(self, status: int, content: object) -> None:
            self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def do_GET(self) -> None:
            if self.path == "/":
                self.send(200, page().body, page().headers)
            elif self.path == "/v1/models":
                self.json(200, {"object": "list", "data": told.models})
            else:
                self.json(404, {"message": f"found nothing at {self.path}"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append(asked)
            if told.refuses:
                return self.json(*told.refuses)
            if not asked.get("stream"):
                (_, reply), *_ = told.events(asked)
                return self.json(200, reply)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                for name, data in told.events(asked):
                    self.wfile.write(f": heartbeat\n\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
                    self.wfile.flush()
                    time.sleep(told.pause)
            except (BrokenPipeError, ConnectionResetError):
                told.left += 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/"
    yield told
    server.shutdown()
    server.server_close()
