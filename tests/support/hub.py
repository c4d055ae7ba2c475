"""A hub on this machine: keeps what is pushed to it, and gives folders out under names and revisions."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_" + "a" * 34


class Hub:
    """The hub's API as far as a push and a snapshot need it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.files: dict[str, bytes] = {}
        """What was committed."""
        self.token = TOKEN
        self._folders: dict[tuple[str, str], Path] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def give(self, repo: str, revision: str, folder: Path) -> str:
        """Give a folder out under a name and a revision; its commit."""
        commit = hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()
        for name in (revision, commit):
            self._folders[repo, name] = folder
        return commit

    def take(self, body: bytes) -> None:
        """Keep the files of a commit."""
        for line in body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])

    def found(self, repo: str, revision: str) -> tuple[str, Path] | None:
        """The commit and the folder behind a revision."""
        folder = self._folders.get((repo, revision))
        named = hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()
        return None if folder is None else (named if (repo, named) in self._folders else revision, folder)


@contextmanager
def hub_here() -> Iterator[Hub]:
    """One that answers until the context ends."""
    hub = Hub()
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            hub.asked.append((self.path, body))
            if self.headers["Authorization"] != f"Bearer {hub.token}":
                self._send(401, {"error": "no"})
            elif self.path == "/api/repos/create":
                self._send(200, {"url": f"{hub.url}/you/reranker"})
            elif "/preupload/" in self.path:
                given = json.loads(body)["files"]
                kept = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in given]
                self._send(200, {"files": kept})
            elif "/commit/" in self.path:
                hub.take(body)
                told = {"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.url}/you/reranker/commit/1"}
                pull = {"pullRequestUrl": f"{hub.url}/you/reranker/discussions/1"} if "create_pr" in self.path else {}
                self._send(200, told | pull)
            else:
                self._send(200, {})

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
            api = parts[:2] == ["api", "models"]
            named = parts[2:] if api else parts
            found = None
            if len(named) > 3:
                owner, name, what, revision, *rest = named
                found = hub.found(f"{owner}/{name}", revision)
            if found is None:
                self._send(404, {"error": "not found"}, {"X-Error-Code": "RevisionNotFound"})
            elif not api:
                commit, folder = found
                content = folder.joinpath(*rest).read_bytes()
                etag = hashlib.sha1(content).hexdigest()
                self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
            elif what == "revision":
                self._send(200, {"id": f"{owner}/{name}", "modelId": f"{owner}/{name}", "sha": found[0]})
            else:
                files = [path for path in found[1].rglob("*") if path.is_file()]
                rows = [
                    {"type": "file", "path": str(path.relative_to(found[1])), "size": path.stat().st_size, "oid": "0"}
                    for path in files
                ]
                self._send(200, rows)

        do_HEAD = do_GET

        def _send(self, status: int, content: Any, more: dict[str, str] | None = None) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(more or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
