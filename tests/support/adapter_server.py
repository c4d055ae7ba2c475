"""A server in the manner of vLLM's that samples from a tiny model by the adapters that it is handed while it runs."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model
from interank.engines.prompts import Prompt
from interank.engines.protocol import Sampling
from interank.engines.transformers import TransformersEngine
from tests.support.stub import Server


class AdapterServer:
    """See `tests.support.stub.serving`; one request at a time."""

    def __init__(self, base: Path) -> None:
        self.handed: list[str] = []
        """The folders of the adapters, in the order in which they came."""
        self.asked: list[dict[str, Any]] = []
        """What was to be completed; the adapter by its place in `handed`."""
        self.stale = 0
        """How often another adapter was asked for than the one handed over last."""
        self._base, self._names = base, list[str]()
        self._model: PeftModel | None = None
        lock, own = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    text = json.dumps(own.answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self) -> None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What vLLM would say."""
        if path.endswith("/load_lora_adapter"):
            self._model = with_adapter(load_model(find_model(str(self._base))), Path(body["lora_path"]))
            self.handed.append(body["lora_path"])
            self._names.append(body["lora_name"])
            return {}
        if path.endswith("/unload_lora_adapter"):
            return {}
        self.stale += body["model"] != self._names[-1]
        number = self._names.index(body["model"])
        self.asked.append({"adapter": number, "prompt": body["prompt"], "seed": body["seed"]})
        if labels := body.get("logprob_token_ids"):
            with torch.no_grad():
                logits = self._model(input_ids=torch.tensor([body["prompt"]])).logits[0, -1]
            given = logits.float().log_softmax(0)
            told = {f"token_id:{label}": float(given[label]) for label in labels}
            return {"choices": [{"logprobs": {"top_logprobs": [told]}, "finish_reason": "length"}]}
        [end] = body["stop_token_ids"]
        sampling = Sampling(body["max_tokens"], body["temperature"], body["seed"] % 2**31)
        [found] = TransformersEngine(self._model).generate([Prompt(tuple(body["prompt"]), (), ())], sampling, end=end)
        ids, given = list(found.ids), list(found.logprobs)
        if found.finished:
            ids, given = [*ids, end], [*given, found.end_logprob]
        choice = {"token_ids": ids, "logprobs": {"token_logprobs": given}}
        return {"choices": [{**choice, "finish_reason": "stop" if found.finished else "length"}]}
