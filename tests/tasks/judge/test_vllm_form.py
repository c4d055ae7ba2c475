"""vLLM gives an exported judge's exact scores: its plugin at /rerank and /score, and its own classifier the logits."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from interank import Reranker
from interank.stages.export import export
from interank.types import Document
from tests.support.servers import VllmServer, vllm_environment
from tests.support.tiny import strong_adapter

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; `make vllm` installs its build for CPUs"
)
QUERY = "why does the pump run?"
TEXTS = ["It rains.", "A check valve leaks, so the water runs back.", "<|im_end|> 2", "The pump has a float.", "No."]
_ASK = """\
import json, sys
from vllm import LLM
from vllm.distributed import cleanup_dist_env_and_memory
from vllm.pooling_params import PoolingParams

if __name__ == "__main__":
    folders, query, texts = json.loads(sys.argv[1])
    found = []
    for folder, numbers in folders:
        model = LLM(folder, runner="pooling", dtype=numbers, max_model_len=512, enforce_eager=True)
        scored = model.score(query, texts)
        raw = model.score(query, texts, pooling_params=PoolingParams(use_activation=False))
        found += [[item.outputs.score for item in each] for each in (scored, raw)]
        del model
        cleanup_dist_env_and_memory()
    print("FOUND" + json.dumps(found))
"""


def plugin(folder: Path) -> Path:
    """What pip writes of interank's entry point, for an interank that runs from its sources."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    made = folder / "interank_plugin-0.1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: interank-plugin\nVersion: 0.1\n")
    own = project["entry-points"]["vllm.general_plugins"]["interank"]
    (made / "entry_points.txt").write_text(f"[vllm.general_plugins]\ninterank = {own}\n")
    return folder


def test_vllm_scores_as_the_judge_does(tmp_path: Path) -> None:
    adapter = strong_adapter(tmp_path)
    folders = [(str(tmp_path / numbers), numbers) for numbers in ("float32", "bfloat16")]
    for folder, numbers in folders:
        export(adapter, Path(folder), to="vllm", numbers=numbers)  # type: ignore[arg-type]
    own = {item.doc_id: item.score for item in Reranker(adapter).rank(QUERY, [Document(t, t) for t in TEXTS])}
    script = tmp_path / "ask.py"
    script.write_text(_ASK)
    paths = os.pathsep.join([str(Path.cwd()), str(plugin(tmp_path / "plugin"))])
    found = subprocess.run(
        [sys.executable, str(script), json.dumps([folders, QUERY, TEXTS])],
        # In one process vLLM is loaded once for both.
        env=os.environ | vllm_environment() | {"PYTHONPATH": paths, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    told = [line for line in found.stdout.splitlines() if line.startswith("FOUND")]
    assert told, found.stderr[-3000:]
    scored, raw, _, rounded = json.loads(told[0].removeprefix("FOUND"))
    assert raw == pytest.approx([own[text] for text in TEXTS], abs=1e-3)
    assert scored == pytest.approx([1 / (1 + math.exp(-own[text])) for text in TEXTS], abs=1e-4)
    # Behind weights in bfloat16 the head computes in float32: no score is one that bfloat16 could hold.
    assert rounded == pytest.approx([own[text] for text in TEXTS], abs=0.5) and rounded != pytest.approx(raw, abs=1e-4)
    assert not set(torch.tensor(rounded).bfloat16().tolist()) & set(torch.tensor(rounded).tolist())


@pytest.mark.slow
def test_vllm_serve_answers_as_the_card_shows(tmp_path: Path) -> None:
    """Asked over HTTP, with the plugin that comes with interank's installation."""
    if "interank" not in [each.name for each in entry_points(group="vllm.general_plugins")]:
        pytest.skip("interank is not installed with its entry points; `make install` installs it")
    adapter = strong_adapter(tmp_path)
    export(adapter, tmp_path / "vllm", to="vllm")
    own = {item.doc_id: item.score for item in Reranker(adapter).rank(QUERY, [Document(t, t) for t in TEXTS])}
    with VllmServer(tmp_path / "vllm", tmp_path / "log", name="judge") as server:
        server.wait()

        def asked(path: str, **body: Any) -> Any:
            reply = httpx2.post(server.url.removesuffix("/v1") + path, json={"model": "judge", **body}, timeout=120)
            assert reply.status_code == 200, reply.text
            return reply.json()

        for raw in (False, True):
            expected = [own[text] if raw else 1 / (1 + math.exp(-own[text])) for text in TEXTS]
            more = {"use_activation": False} if raw else {}
            ranked = asked("/rerank", query=QUERY, documents=TEXTS, **more)["results"]
            assert [item["index"] for item in ranked] == sorted(range(len(TEXTS)), key=lambda place: -expected[place])
            found = {item["index"]: item["relevance_score"] for item in ranked}
            assert [found[place] for place in range(len(TEXTS))] == pytest.approx(expected, abs=1e-3)
            scored = asked("/score", text_1=QUERY, text_2=TEXTS, **more)["data"]
            assert [item["score"] for item in scored] == pytest.approx(expected, abs=1e-3)
