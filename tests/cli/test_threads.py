"""OpenMP's threads sleep after a brief wait, in the command and its workers; what the user set stands, vLLM's spin."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import tiny_model

SAID_BY = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# The library itself tells how its threads wait, when torch loads it.
ASKED = {"OMP_DISPLAY_ENV": "verbose"}


def environment(**given: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in SAID_BY}, **ASKED, **given}


def told(arguments: list[str], **given: str) -> str:
    """What OpenMP tells in a process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(**given), capture_output=True, text=True, timeout=120
    )
    assert "OPENMP DISPLAY ENVIRONMENT BEGIN" in done.stderr, done.stderr[-2000:]
    return done.stderr


def command(folder: Path) -> list[str]:
    """A verb that imports torch, and does a little."""
    model = tiny_model(folder / "model")
    return ["-m", "interank.cli.app", "rerank", str(model), "--query", "q", str(folder / "notes.txt")]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("A red fox sits in the barn.")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["GOMP_SPINCOUNT = '100000'"]),
        ({"OMP_WAIT_POLICY": "passive"}, ["OMP_WAIT_POLICY = 'PASSIVE'", "GOMP_SPINCOUNT = '0'"]),
        ({"GOMP_SPINCOUNT": "77"}, ["GOMP_SPINCOUNT = '77'"]),
    ],
)
def test_the_command_s_threads_wait_briefly_unless_the_user_says_otherwise(
    notes: Path, given: dict[str, str], expected: list[str]
) -> None:
    found = told(command(notes), **given)
    assert all(line in found for line in expected)


def test_a_script_asks_for_it_before_torch_and_its_workers_inherit_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from interank.threads import wait_briefly\n"
        "def work():\n"
        "    import torch\n"
        "    return 1\n"
        "if __name__ == '__main__':\n"
        "    wait_briefly()\n"
        "    assert 'torch' not in sys.modules\n"
        "    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "        assert pool.submit(work).result() == 1\n"
        "    assert 'torch' not in sys.modules\n"
    )
    assert "GOMP_SPINCOUNT = '100000'" in told([str(script)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_vllm_s_processes_get_what_the_user_set_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make vllm` installs its build for CPUs")
    from interank.engines.vllm import VllmEngine, VllmOptions
    from interank.threads import wait_briefly
    from tests.support.servers import vllm_environment

    for name, value in {**vllm_environment(), **ASKED}.items():
        monkeypatch.setenv(name, value)
    for name in SAID_BY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("interank.threads._set_here", [])
    wait_briefly()
    VllmEngine(tiny_model(tmp_path / "model", hidden=128), VllmOptions(max_length=64)).close()
    found = capfd.readouterr().err
    assert "OPENMP DISPLAY ENVIRONMENT BEGIN" in found
    assert "GOMP_SPINCOUNT = '100000'" not in found
    assert os.environ["GOMP_SPINCOUNT"] == "100000"
