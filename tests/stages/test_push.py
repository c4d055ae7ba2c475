"""What is pushed to a hub, here a local one that speaks its API: the files, the card, and nothing of this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from interank.errors import ArtifactError, InputError
from interank.stages.export import export
from interank.stages.push import Pushing, push
from tests.support.adapters import tiny_adapter
from tests.support.families import family_folder
from tests.support.tiny import tiny_model

TOKEN = "hf_" + "a" * 34


class Hub:
    """The hub's API as far as a push needs it; keeps what is committed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.token = TOKEN
        hub = self

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
                    pull = (
                        {"pullRequestUrl": f"{hub.url}/you/reranker/discussions/1"} if "create_pr" in self.path else {}
                    )
                    self._send(200, told | pull)
                else:
                    self._send(200, {})

            def do_GET(self) -> None:
                self._send(404, {"error": "not found"})

            def _send(self, status: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        for line in body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return tiny_adapter(tiny_model(folder / "model"), folder)


def command(hub: Hub, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "interank", "push", *arguments, "--quiet"],
        env=environment | {"HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_adapter_is_pushed_with_its_card_and_no_path(adapter: Path, hub: Hub) -> None:
    found = command(
        hub, str(adapter), "you/reranker", "--base-name", "HuggingFaceTB/SmolLM2-135M", "--license", "apache-2.0",
        "--dataset", "you/posts", "--private",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"{hub.url}/you/reranker/commit/1"
    created = json.loads(next(body for path, body in hub.asked if path == "/api/repos/create"))
    assert created["name"] == "reranker"
    assert created.get("private") is True or created.get("visibility") == "private"
    assert {"adapter_config.json", "adapter_model.safetensors", "interank.json", "README.md"} <= set(hub.files)
    assert "manifest.json" not in hub.files and "recipe.json" not in hub.files
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.pipeline_tag == "text-ranking" and card.data.base_model == "HuggingFaceTB/SmolLM2-135M"
    assert card.data.license == "apache-2.0" and card.data.datasets == ["you/posts"]
    config = json.loads(hub.files["adapter_config.json"])
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M"
    for name, content in hub.files.items():
        assert str(adapter.parent).encode() not in content and TOKEN.encode() not in content, name


def test_an_export_is_proposed(tmp_path: Path, hub: Hub) -> None:
    export(family_folder(tmp_path / "model", "llama 3"), tmp_path / "st")
    found = command(hub, str(tmp_path / "st"), "you/reranker", "--create-pr")
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"{hub.url}/you/reranker/discussions/1"
    assert {"modules.json", "2_Dense/model.safetensors", "export.json"} <= set(hub.files)
    assert not any(str(tmp_path).encode() in content for content in hub.files.values())


def test_a_dry_run_shows_and_sends_nothing(adapter: Path, hub: Hub) -> None:
    found = command(hub, str(adapter), "you/reranker", "--base-name", "you/base", "--dry-run")
    assert found.returncode == 0 and "adapter_model.safetensors" in found.stdout and "text-ranking" in found.stdout
    assert not hub.asked


def test_a_refusal_of_the_hub_is_told(adapter: Path, hub: Hub) -> None:
    hub.token = TOKEN[::-1]
    found = command(hub, str(adapter), "you/reranker", "--base-name", "you/base")
    assert found.returncode == 1
    assert "did not take you/reranker" in found.stderr and "HF_TOKEN" in found.stderr and TOKEN not in found.stderr
    assert not hub.files


def test_what_tells_of_this_machine_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--base-name"):
        push(adapter, Pushing("you/reranker"), dry_run=True)
    with pytest.raises(InputError, match="no repository's name"):
        push(adapter, Pushing("you/too/many", base="you/base"), dry_run=True)
    with pytest.raises(ArtifactError, match="no output of interank"):
        push(tmp_path, Pushing("you/reranker"), dry_run=True)
    out = tmp_path / "st"
    export(family_folder(tmp_path / "model", "llama 3"), out)
    (out / "notes.txt").write_text(f"made at {out}")
    with pytest.raises(InputError, match=r"notes.txt names a path of this machine"):
        push(out, Pushing("you/reranker"), dry_run=True)
    (out / "notes.txt").write_text(f"with {TOKEN}")
    with pytest.raises(InputError, match=r"notes.txt holds what looks like a key"):
        push(out, Pushing("you/reranker"), dry_run=True)


def test_measures_go_along_in_both_forms(adapter: Path, tmp_path: Path) -> None:
    from interank.cli.app import main
    from tests.support.benchmark import benchmark_folder

    sample, out = benchmark_folder(tmp_path / "bench"), tmp_path / "evaluated"
    asked = ["evaluate", "recipes/evaluate/benchmark.yaml", f"benchmark={sample}", f"adapters={adapter}", "explain=0"]
    assert main([*asked, "depth=3", "--out", str(out), "--quiet"]) == 0
    found = push(adapter, Pushing("you/reranker", base="you/base", results=out), dry_run=True)
    (row,) = [item for item in ModelCard(found.card).data.eval_results if item.metric_type == "nDCG@10"]
    measured = json.loads((out / "metrics.json").read_text())[adapter.name]["nDCG@10"]["mean"]
    assert row.metric_value == pytest.approx(measured, abs=1e-4)
    assert "first stage bm25" in row.metric_name and "depth 3" in row.metric_name
    assert ".eval_results/interank.yaml" in found.files
    assert yaml.safe_load(found.card.split("---")[1])["model-index"]
