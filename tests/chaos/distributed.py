"""One of two processes is ended, fails or finds no room: the others end with a sentence, and the command goes on.

`make chaos` runs these; each starts two processes, which takes half a minute.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from interank.cli.app import main
from interank.training.checkpoints import last_complete
from tests.stages.test_launch import command, difference, folder
from tests.support.adapter_server import AdapterServer
from tests.support.commands import partial
from tests.support.distributed_commands import PATIENCE, children, started_together, wait_for
from tests.support.stub import serving
from tests.test_readme import ROOT

pytestmark = pytest.mark.own_rewards

__all__ = ["folder"]

# The others have to end so soon after one.
SOON = 60.0
LONGER = ["trainer.num_train_epochs=8", "validation.questions=0"]
MORE = {
    "judge": LONGER,
    "order": LONGER[:1],
    "head": LONGER,
    "rl": ["trainer.max_steps=12"],
    "reward": ["trainer.max_steps=24"],
}


def _any(pattern: str) -> Callable[[Path], bool]:
    return lambda place: any(place.glob(pattern))


def _half_written(place: Path) -> bool:
    """Whether a checkpoint is on its way."""
    found = [*place.glob("work/checkpoints/checkpoint-*")]
    return any(not (each / "complete").exists() for each in found)


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "begun": lambda place: place.is_dir(),
    "loaded": _any("work/checkpoints"),
    "a step done": _any("**/log.jsonl"),
    "a checkpoint half written": _half_written,
    "a checkpoint complete": _any("work/checkpoints/checkpoint-*/complete"),
}


@contextmanager
def together(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[Any]]:
    """The command in two processes."""
    folder.mkdir(parents=True, exist_ok=True)
    here = [sys.executable, "-m", "interank", *arguments, "--launch", "2"]
    with started_together(here, folder) as process:
        yield process


def said(folder: Path) -> str:
    """What all of them said; no traceback."""
    text = (folder / "said.txt").read_text()
    assert "Traceback" not in text
    return text


def end_one(process: subprocess.Popen[Any], number: int) -> None:
    """Kill a process, and see that all end soon and none is left."""
    every = children(process.pid)
    began = time.monotonic()
    every[number].kill()
    assert process.wait(PATIENCE) != 0
    assert time.monotonic() - began < SOON
    _, left = psutil.wait_procs(every.values(), timeout=5)
    assert not left


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """What one process makes, of each stage, and the adapter that rl goes on with."""
    assert main(command(folder, "judge", folder / "one" / "judge")) == 0
    for name, more in MORE.items():
        assert main(command(folder, name, folder / "one" / f"{name}-longer", *more)) == 0
    return folder / "one"


def goes_on(name: str, folder: Path, alone: Path, out: Path) -> None:
    """One process finishes what two began."""
    assert not out.exists()
    kept = last_complete(partial(out) / "work" / "checkpoints")
    assert kept is None or (kept / "adapter_model.safetensors").is_file()
    assert main(command(folder, name, out, *MORE[name], "--resume")) == 0
    assert difference(alone / f"{name}-longer", out) < 1e-6


@pytest.mark.parametrize("number", [1, 0])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_distill(folder: Path, alone: Path, tmp_path: Path, moment: str, number: int) -> None:
    out = tmp_path / "out"
    with together(command(folder, "judge", out, *LONGER), tmp_path) as process:
        wait_for(lambda: MOMENTS[moment](partial(out)) and len(children(process.pid)) == 2, process)
        end_one(process, number)
    assert "--resume goes on" in said(tmp_path)
    goes_on("judge", folder, alone, out)


@pytest.mark.parametrize("number", [1, 0])
@pytest.mark.parametrize("name", ["order", "head", "rl", "reward"])
def test_killed_in_another_stage(folder: Path, alone: Path, tmp_path: Path, name: str, number: int) -> None:
    out = tmp_path / "out"
    with together(command(folder, name, out, *MORE[name]), tmp_path) as process:
        wait_for(lambda: MOMENTS["a checkpoint complete"](partial(out)), process)
        end_one(process, number)
    assert "--resume goes on" in said(tmp_path)
    goes_on(name, folder, alone, out)


def failing(folder: Path, name: str, **changed: Any) -> Path:
    """rl's recipe with some of its keys set."""
    content = {**yaml.safe_load((folder / "rl.yaml").read_text()), **changed}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def ends(arguments: list[str], folder: Path) -> str:
    """What two processes say that end by themselves with a fault."""
    with together(arguments, folder) as process:
        assert process.wait(PATIENCE) == 1
    return said(folder)


@pytest.mark.usefixtures("alone")
def test_an_error_of_the_second_alone(folder: Path, tmp_path: Path) -> None:
    fault = "import os\n\ndef reward(*, completions, **_):\n    if os.environ.get('RANK') == '1':\n"
    fault += "        raise ValueError('it rains')\n    return [float(len(each)) for each in completions]\n"
    (folder / "rains.py").write_text(fault)
    file = failing(folder, "rains", rewards=[{"use": str(folder / "rains.py")}])
    assert "it rains" in ends(["rl", str(file), "--out", str(tmp_path / "out"), "--quiet"], tmp_path)


@pytest.mark.usefixtures("alone")
def test_no_server_answers(folder: Path, tmp_path: Path) -> None:
    server = {"urls": ["http://127.0.0.1:9/v1"], "attempts": 1}
    file = failing(folder, "dead", rollouts={"engine": "server", "server": server}, hard_examples=None)
    text = ends(["rl", str(file), "--out", str(tmp_path / "out"), "--quiet"], tmp_path)
    # The first asks, and tells it alone.
    assert text.count("interank: ") == 1
    assert "127.0.0.1:9" in text


@pytest.mark.usefixtures("alone")
def test_a_server_ends_while_it_samples(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    out, server = tmp_path / "out", AdapterServer(tiny_folder)
    with serving(server):
        given = {"urls": [server.url], "attempts": 1}
        file = failing(folder, "dies", rollouts={"engine": "server", "server": given}, hard_examples=None)
        arguments = ["rl", str(file), "--out", str(out), "--quiet", *MORE["rl"]]
        with together(arguments, tmp_path) as process:
            wait_for(lambda: len(server.handed) > 2, process)
            server.server.shutdown()
            server.server.server_close()
            assert process.wait(PATIENCE) == 1
    assert server.url in said(tmp_path)
    assert last_complete(partial(out) / "work" / "checkpoints") is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="no file system can be mounted here")
def test_a_full_disk(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for the output, and for no checkpoint of weights and optimiser.
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "interank-chaos", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        text = ends(command(folder, "judge", disk / "out", *LONGER), tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert "is full" in text
    assert not (disk / "out").exists()


def test_accelerates_configuration_starts_as_many(folder: Path, alone: Path, tmp_path: Path) -> None:
    # bf16 is said there; the model's numbers are float32, which stays.
    config = yaml.safe_load((ROOT / "docs" / "launch" / "ddp.yaml").read_text())
    config |= {"num_processes": 2, "main_process_port": 0}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "out"
    arguments = command(folder, "judge", out, "--launch", str(tmp_path / "two.yaml"))
    with started_together([sys.executable, "-m", "interank", *arguments], tmp_path) as process:
        assert process.wait(PATIENCE) == 0, (tmp_path / "said.txt").read_text()
    assert '"processes": 2' in (out / "manifest.json").read_text()
    assert difference(alone / "judge", out) < 1e-6


def test_killed_torchrun_takes_its_processes_with_it(folder: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with together(command(folder, "judge", out, *LONGER), tmp_path) as process:
        wait_for(lambda: MOMENTS["a checkpoint complete"](partial(out)), process)
        every = children(process.pid)
        process.kill()
        _, left = psutil.wait_procs(every.values(), timeout=SOON)
        assert not left
    assert "what started the 2 processes has ended" in said(tmp_path)
    goes_on("judge", folder, alone, out)


def test_two_machines_make_what_one_process_makes(folder: Path, alone: Path, tmp_path: Path) -> None:
    """torchrun is started on each, here by two that meet on this one; on each a process is number 0 of its machine."""
    out = tmp_path / "out"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1"]
    torchrun += ["--rdzv_id", "chaos", "--rdzv_backend", "c10d", "--rdzv_endpoint", meeting, "-m", "interank"]
    places = [tmp_path / "first", tmp_path / "second"]
    with ExitStack() as both:
        machines = []
        for place in places:
            place.mkdir()
            here = [*torchrun, *command(folder, "judge", out, "--resume")]
            machines.append(both.enter_context(started_together(here, place)))
        assert [each.wait(PATIENCE) for each in machines] == [0, 0], [said(place) for place in places]
    assert '"processes": 2' in (out / "manifest.json").read_text()
    assert difference(alone / "judge", out) < 1e-6
