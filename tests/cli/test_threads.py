"""OpenMP's threads sleep while they wait, in the command and its workers; what the user set stands, and vLLM's spin."""

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
    """A verb that imports torch, and then finds that the model is none."""
    return ["-m", "interank.cli.app", "rerank", str(folder / "none"), "--query", "q", str(folder / "notes.txt")]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("A red fox sits in the barn.")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["OMP_WAIT_POLICY = 'PASSIVE'", "GOMP_SPINCOUNT = '0'"]),
        ({"OMP_WAIT_POLICY": "active"}, ["OMP_WAIT_POLICY = 'ACTIVE'"]),
        # 0 were the policy ours.
        ({"GOMP_SPINCOUNT": "77"}, ["GOMP_SPINCOUNT = '77'"]),
    ],
)
def test_the_command_s_threads_wait_asleep_unless_the_user_says_otherwise(
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
        "from interank.threads import wait_asleep\n"
        "def work():\n"
        "    import torch\n"
        "    return 1\n"
        "if __name__ == '__main__':\n"
        "    wait_asleep()\n"
        "    assert 'torch' not in sys.modules\n"
        "    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "        assert pool.submit(work).result() == 1\n"
        "    assert 'torch' not in sys.modules\n"
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told([str(script)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("own", "sleep"), [(None, False), ("passive", True)])
def test_vllm_s_processes_get_what_the_user_set_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    own: str | None,
    sleep: bool,
) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make vllm` installs its build for CPUs")
    from interank.engines.vllm import VllmEngine, VllmOptions
    from interank.threads import wait_asleep
    from tests.support.servers import vllm_environment

    for name, value in {**vllm_environment(), **ASKED}.items():
        monkeypatch.setenv(name, value)
    for name in SAID_BY:
        monkeypatch.delenv(name, raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    monkeypatch.setattr("interank.threads._set_here", [])
    wait_asleep()
    VllmEngine(tiny_model(tmp_path / "model", hidden=128), VllmOptions(max_length=64)).close()
    found = capfd.readouterr().err
    assert "OPENMP DISPLAY ENVIRONMENT BEGIN" in found
    assert ("GOMP_SPINCOUNT = '0'" in found) == sleep
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
