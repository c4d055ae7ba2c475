"""A process that has imported vLLM, and whose forks are servers: importing it takes each process many seconds.

    python -m tests.support.forked_vllm

For each line on its standard input, a server's arguments, environment and log, it tells the number of a process. What
vLLM starts in such a fork, or in that of another process with this module, are forks as well.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import signal
from multiprocessing.context import BaseContext

from tests.support.vllm_command import command

_ENGINES = ("vllm.v1.engine.core", "vllm.v1.worker.cpu_worker", "vllm.model_executor.models.llama")
_SERVERS = ("vllm.entrypoints.cli.serve", "vllm.entrypoints.openai.api_server")


def _forking() -> BaseContext:
    return multiprocessing.get_context("fork")


for _name in _ENGINES:
    importlib.import_module(_name)
# What a fork's collection of garbage visits is copied for it, page by page.
gc.freeze()
# For CPUs vLLM would begin every process afresh.
for _name in ("vllm.v1.engine.utils", "vllm.v1.executor.multiproc_executor"):
    importlib.import_module(_name).get_mp_context = _forking


def _serve(arguments: list[str], environment: dict[str, str], log: str) -> None:
    """`vllm serve`, in a session of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.update(environment)
    written, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.open(os.devnull, os.O_RDONLY)
    for handle, opened in ((0, nothing), (1, written), (2, written)):
        os.dup2(opened, handle)
    command(arguments)


def _take_orders() -> None:
    for name in _SERVERS:
        importlib.import_module(name)
    gc.freeze()
    # Whoever ordered a process sees that it is gone by its number.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    while line := orders.readline():
        if not (pid := os.fork()):
            os.close(orders.fileno())
            os.close(answers.fileno())
            _serve(**json.loads(line))
        print(pid, file=answers, flush=True)


if __name__ == "__main__":
    _take_orders()
