"""Several processes that do the same are refused before any work, by the command and by every stage that writes."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import get_args_parser

from interank import distributed
from interank.cli.app import main
from interank.distributed import STARTER, begin, refuse_several_processes, share, tells_of_its_end
from interank.errors import InputError, ModelError, Terminated, TrainingError
from interank.recipe import load_recipe
from interank.settings.batches import DISTILL_BATCH
from interank.stages.launching import launch
from interank.training.devices import shared_out
from tests.test_readme import ROOT
from tests.test_readme import commands as document_commands

LAUNCH = ROOT / "docs" / "launch.md"

# What `torchrun --nproc_per_node 2` sets for its first process.
TORCHRUN = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29511",
}
STAGES = (
    ("generate", "run"),
    ("evaluate", "run"),
    ("pipeline", "run"),
    ("compare", "run"),
    ("merge", "merge"),
    ("export", "export"),
    ("fit", "fit"),
    ("fit", "fit_into"),
    ("attack", "attack"),
    ("parity", "check_parity"),
)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "WORLD_SIZE=2, LOCAL_RANK=1 is set"),
        # One process of torchrun's waits for a rendezvous as well.
        ({"WORLD_SIZE": "1", "LOCAL_RANK": "0"}, "^LOCAL_RANK=0"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "^OMPI_COMM_WORLD_SIZE=4"),
        ({"PMI_SIZE": "2"}, "^PMI_SIZE=2"),
    ],
    ids=str,
)
def test_a_launcher_is_noticed(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=told):
        refuse_several_processes()


def test_one_process_is_none_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_RANK", "-1")
    refuse_several_processes()


@pytest.mark.parametrize(("module", "name"), STAGES)
def test_every_stage_that_writes_refuses_first(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    stage = getattr(importlib.import_module(f"interank.stages.{module}"), name)
    for variable, value in TORCHRUN.items():
        monkeypatch.setenv(variable, value)
    needed = [one for one in inspect.signature(stage).parameters.values() if one.default is one.empty]
    # Nothing is looked at before, or this would be another error.
    by_place = [None for one in needed if one.kind is not one.KEYWORD_ONLY]
    by_name = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
    with pytest.raises(InputError, match="in one"):
        stage(*by_place, **by_name)


@pytest.mark.parametrize("verb", ["rerank x --query a b", "score x y nDCG@10", "merge x --out y", "check x"])
def test_every_verb_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    for variable, value in TORCHRUN.items():
        monkeypatch.setenv(variable, value)
    assert main(verb.split()) == 1
    assert "WORLD_SIZE=2, LOCAL_RANK=0" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["distill", "rl"])
def test_processes_of_mpi_end_in_a_sentence_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, stage: str
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    given = [f"judgments={tmp_path}", *([f"adapter={tmp_path}"] if stage == "rl" else [])]
    assert main([stage, f"{stage}/smollm2", *given, "--out", str(tmp_path / "out")]) == 1
    [sentence] = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith("interank: OMPI_COMM_WORLD_SIZE=2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_shared_out_weights_are_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name, value in {**TORCHRUN, variable: "true"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="MULTI_GPU"):
        begin()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("1", "is one process"),
        ("0", "give the number"),
        ("none.yaml", "cannot be read"),
        ("distributed_type: FSDP\nnum_processes: 2\n", "is FSDP, which shares"),
        ("distributed_type: MULTI_CPU\nnum_processes: 2\n", "starts one process"),
        ("distributed_type: MULTI_GPU\nuse_cpu: true\nnum_processes: 2\n", "on CPUs, for which"),
        ("distributed_type: MULTI_GPU\n", "names no num_processes"),
    ],
)
def test_what_cannot_be_launched_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, given: str, told: str
) -> None:
    if "\n" in given:
        (tmp_path / "launch.yaml").write_text(given)
        given = str(tmp_path / "launch.yaml")
    assert main(["distill", "distill/smollm2", "--out", str(tmp_path / "out"), "--launch", given]) == 1
    assert told in capsys.readouterr().err


def test_a_share_is_on_end_and_all_of_them_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TORCHRUN, "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    for number in (0, 2, 3, 7):
        found = []
        for place in range(3):
            monkeypatch.setenv("RANK", str(place))
            found += list(range(*share(number)))
        assert found == list(range(number))


def test_one_process_loads_no_torch() -> None:
    code = (
        "import sys; from interank import distributed as l; l.begin(); l.barrier(); l.same(1); l.gathered(1); "
        "l.from_first(int); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", [0, 1])
def test_what_one_of_several_cannot_make_ends_all_and_is_told_by_the_first(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    others: list[tuple[int | None, str | None]] = [(10, None), (11, None)]
    monkeypatch.setattr(distributed, "world", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: number)
    monkeypatch.setattr(distributed, "gathered", lambda own: [own if n == number else others[n] for n in range(2)])
    assert distributed.each_of(lambda: 10 + number) == [10, 11]

    def unable() -> int:
        raise ModelError("too long")

    # The first keeps the kind of its own error; of another one's it knows the words.
    with pytest.raises(distributed.ToldByFirstError if number else ModelError, match="too long"):
        distributed.each_of(unable)
    others[1 - number] = None, "too short"
    with pytest.raises(distributed.ToldByFirstError if number else InputError, match="too short"):
        distributed.each_of(lambda: 10 + number)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SimpleNamespace, str]]:
    """What torchrun would have been asked to start, and on which GPUs; nothing is."""
    given: list[tuple[SimpleNamespace, str]] = []
    monkeypatch.setattr(
        "torch.distributed.run.run", lambda asked: given.append((asked, os.getenv("CUDA_VISIBLE_DEVICES", "")))
    )
    return given


def test_accelerates_launcher_gives_torchrun_what_its_file_says(
    started: list[tuple[SimpleNamespace, str]], tmp_path: Path
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("distributed_type: MULTI_GPU\nnum_processes: 3\nnum_machines: 1\ngpu_ids: 4,5,6\nuse_cpu: false\n")
    assert launch(str(file), ["rl", "r.yaml", "--out", "x", "--launch", str(file), "--resume"]) == 0
    [(asked, gpus)] = started
    assert (str(asked.nproc_per_node), asked.module, asked.training_script) == ("3", True, "interank")
    assert asked.training_script_args == ["rl", "r.yaml", "--out", "x", "--resume"]
    assert gpus == "4,5,6"


def test_processes_that_the_agent_forgets_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM between their start and the agent's note of it reaches the agent alone."""
    forgotten: list[subprocess.Popen[bytes]] = []

    def run(asked: object) -> None:
        # Its environment, as it mostly reads right after a process was started.
        forgotten.append(subprocess.Popen(["sleep", "100"], env={}))
        raise SignalException("received", signal.SIGTERM)

    monkeypatch.setattr("torch.distributed.run.run", run)
    monkeypatch.setenv(STARTER, "set anew")
    with pytest.raises(Terminated):
        launch("2", ["rl", "r.yaml"])
    # Its code is known to the one who waited first.
    forgotten[0].wait(5)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        # In one second, as torch counts: the others abort, or cannot go on, after the one that was killed.
        ((-signal.SIGABRT, -signal.SIGKILL), "process 1 was ended by SIGKILL"),
        ((1, -signal.SIGSEGV), "process 1 was ended by SIGSEGV"),
        ((-signal.SIGABRT,), "process 0 was ended by SIGABRT"),
    ],
)
def test_the_process_that_a_signal_ended_is_named(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], told: str
) -> None:
    ended_with(monkeypatch, codes)
    with pytest.raises(TrainingError, match=told):
        launch("2", ["rl", "r.yaml"])


def test_the_code_of_an_error_is_kept_though_another_process_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    ended_with(monkeypatch, (-signal.SIGABRT, 3))
    assert launch("2", ["rl", "r.yaml"]) == 3


def ended_with(monkeypatch: pytest.MonkeyPatch, codes: Sequence[int]) -> None:
    """Have torchrun tell that its processes ended with these codes."""
    failures = {place: ProcessFailure(place, 1000 + place, code, "") for place, code in enumerate(codes)}
    for failure in failures.values():
        failure.timestamp = 1_700_000_000

    def run(asked: object) -> None:
        raise ChildFailedError("interank", failures)

    monkeypatch.setattr("torch.distributed.run.run", run)
    monkeypatch.setenv(STARTER, "set anew")


def test_the_documents_configuration_starts_a_process_for_each_gpu(
    started: list[tuple[SimpleNamespace, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    commands = [words for _, words in document_commands(LAUNCH, "interank")]
    assert [words[words.index("--launch") + 1] for words in commands] == ["8", "docs/launch/ddp.yaml"]
    for words in commands:
        assert launch(words[words.index("--launch") + 1], words) == 0
        asked, _ = started.pop()
        assert (int(asked.nproc_per_node), asked.module, asked.training_script) == (8, True, "interank")
        assert asked.training_script_args == [each for each in words if each not in ("--launch", *words[-1:])]
        can_be_shared_out(words, 8, monkeypatch)


def can_be_shared_out(words: list[str], world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold a command's recipe to have equal parts of a step for so many processes."""
    recipe = load_recipe(words[1], [word for word in words[2:] if re.match(r"[a-z][\w.]*=", word)])
    with monkeypatch.context() as patch:
        for name, value in {**TORCHRUN, "WORLD_SIZE": str(world)}.items():
            patch.setenv(name, value)
        trainer = {"per_device_train_batch_size": DISTILL_BATCH, **recipe.trainer}  # type: ignore[attr-defined]
        assert shared_out(trainer)["gradient_accumulation_steps"] * world == trainer["gradient_accumulation_steps"]


def test_slurm_starts_as_the_document_says_on_each_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [by_hand] = [words for _, words in document_commands(LAUNCH, "torchrun")]
    programs = {
        "scontrol": 'printf "%s\\n" gpu-07 gpu-08',
        # What srun starts on each machine, torchrun with its arguments.
        "srun": f'printf "%s\\n" "$@" > {tmp_path}/started',
    }
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    told = {"SLURM_JOB_NODELIST": "gpu-[07-10]", "SLURM_NNODES": "4", "SLURM_JOB_ID": "17"}
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    subprocess.run(
        ["bash", LAUNCH.parent / "launch" / "slurm.sh"], env={**os.environ, **told, "PATH": path}, check=True
    )
    torchrun, *by_slurm = (tmp_path / "started").read_text().splitlines()
    assert torchrun == "torchrun"
    for words, address in ((by_slurm, "gpu-07:29500"), (by_hand, "HOST:29500")):
        asked = get_args_parser().parse_args(words)
        assert (asked.nnodes, asked.nproc_per_node, asked.rdzv_backend) == ("4", "8", "c10d")
        assert (asked.rdzv_endpoint, asked.module, asked.training_script) == (address, True, "interank")
        stage = asked.training_script_args
        assert (stage[0], stage[-1]) == ("distill", "--resume")
        can_be_shared_out(stage, 32, monkeypatch)
    assert get_args_parser().parse_args(by_slurm).rdzv_id == "17"


def test_what_accelerate_says_of_numbers_and_compilers_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_DYNAMO_BACKEND": "inductor"}
    for name, value in {**TORCHRUN, "WORLD_SIZE": "1", **own}.items():
        monkeypatch.setenv(name, value)
    begin()
    assert not own.keys() & os.environ.keys()


@pytest.mark.parametrize(
    ("rank", "starter", "tells"),
    [
        ("0", "", True),
        ("1", "", False),
        # What started them says it itself, and where it is gone the first does.
        ("0", str(os.getppid()), False),
        ("0", "2", True),
        ("1", "2", False),
    ],
)
def test_one_says_that_all_were_ended(monkeypatch: pytest.MonkeyPatch, rank: str, starter: str, tells: bool) -> None:
    for name, value in {**TORCHRUN, "RANK": rank, STARTER: starter}.items():
        monkeypatch.setenv(name, value)
    assert tells_of_its_end() == tells


@pytest.mark.parametrize(("rank", "level"), [("0", logging.INFO), ("1", logging.WARNING)])
def test_the_first_tells_how_it_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rank: str, level: int) -> None:
    for name, value in {**TORCHRUN, "RANK": rank, "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["distill", "distill/smollm2", f"judgments={tmp_path}", "--out", str(tmp_path / "out")]) == 1
    assert logging.getLogger("interank").level == level
