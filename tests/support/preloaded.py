"""`interank` and `python` on a shell's path: what they run are forks of a process that has imported what it needs.

For tests of what is done, many commands long: what Python itself does at its start they say nothing of.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

from tests.chaos.starter import HEAVY, ROOT, stream

# -S and -E: it needs nothing but the standard library, and starts at once.
_CLIENT = """\
#!{python} -SE
import json, os, socket, sys
order = json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect("{address}")
    socket.send_fds(asked, [len(order).to_bytes(8, "big")], [0, 1, 2])
    asked.sendall(order)
    told = asked.recv(8)
    sys.exit(int.from_bytes(told, "big") if told else "the process that forks has ended")
"""


@cache
def programs() -> Path:
    """The folder of both, to stand first on a path."""
    folder = Path(tempfile.mkdtemp(prefix="interank-"))
    address = folder / "socket"
    for name in ("interank", "python"):
        client = folder / name
        client.write_text(_CLIENT.format(python=sys.executable, address=address))
        client.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdin and process.stdout and process.stdout.readline() == b"ready\n"
    atexit.register(_end, process, folder)
    return folder


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    with process:
        pass
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _serve(address: str) -> None:
    """Until nobody holds its standard input any more."""
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            asked, _ = listener.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _answer(asked)
            asked.close()


def _answer(asked: socket.socket) -> None:
    """Run what is asked for in one more fork, and tell its code; whoever asked and is gone wants it no more."""
    size, handles, *_ = socket.recv_fds(asked, 8, 3)
    with asked.makefile("rb") as order:
        name, arguments, folder, environment = json.loads(order.read(int.from_bytes(size, "big")))
    if not (process := os.fork()):
        asked.close()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
            os.close(handle)
        sys.stdin, sys.stdout, sys.stderr = map(stream, range(3))
        _leave(_code(name, arguments))
    for handle in handles:
        os.close(handle)
    watched = os.pidfd_open(process)
    gone = watched not in select.select([asked, watched], [], [])[0]
    if gone:
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if not gone:
        asked.sendall((code if code >= 0 else 128 - code).to_bytes(8, "big"))
    os._exit(0)


def _code(name: str, arguments: list[str]) -> int:
    """Run a program to its end."""
    try:
        _run(name, arguments)
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    return 0


def _leave(code: int) -> None:
    """End as Python ends, but for taking down what was imported: every page of it would be copied for that."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(name: str, arguments: list[str]) -> None:
    # What this starts as Python starts as quickly.
    sys.executable = str(Path(sys.argv[1]).with_name("python"))
    if name == "interank":
        from interank.cli.app import main

        sys.argv = [name, *arguments]
        sys.exit(main(arguments))
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1])
