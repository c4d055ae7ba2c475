"""`--launch`: the same command in several processes, started by torchrun or accelerate."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interank.distributed import STARTER, ending_children
from interank.errors import InputError, Terminated, TrainingError
from interank.recipe.words import read_yaml

_SHARDING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


def launch(given: str, arguments: list[str]) -> int:
    """Run a command in several processes, wait for them, and return the exit code.

    Args:
        given: The number of processes, or accelerate's configuration file.
        arguments: The arguments behind the command's name.

    Raises:
        InputError: The number or the file cannot be used.
        TrainingError: A signal ended a process.
        Terminated: SIGTERM or a like signal arrived, and all processes have ended; KeyboardInterrupt for SIGINT.
    """
    number, own = _number(given), ["-m", "interank", *_without_launch(arguments)]
    if number == 1:
        raise InputError("--launch 1 was found, which is one process; leave it out, or give a number over 1")
    # Checked before torch is imported.
    settings = _settings(Path(given)) if number is None else {}
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    start: Callable[[Any], None] = run
    os.environ[STARTER] = str(os.getpid())
    try:
        with ending_children():
            if number is not None:
                os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // number)))
                start(get_args_parser().parse_args(["--standalone", "--nproc_per_node", str(number), *own]))
            else:
                from accelerate.commands.launch import launch_command, launch_command_parser

                os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _count(settings))))
                launch_command(launch_command_parser().parse_args(["--config_file", given, *own]))
    except ChildFailedError as error:
        place, failure = min(error.failures.items(), key=lambda item: _turn(*item))
        if failure.exitcode > 0:
            # The process has printed the reason.
            return min(failure.exitcode, 255)
        raise TrainingError(
            f"process {place} was ended by {failure.signal_name()}, and the others with it; the last complete "
            "checkpoint is kept, and the same command with --resume goes on"
        ) from None
    except SignalException as error:
        raise (KeyboardInterrupt if error.sigval == signal.SIGINT else Terminated) from error
    return 0


def _turn(place: int, failure: Any) -> tuple[int, int, int]:
    """The order of processes that ended, the cause first: torch tells their times in whole seconds.

    Where one is ended by a signal, others may end with an error or abort, since their connections to it break.
    """
    aborted, by_error = failure.exitcode == -signal.SIGABRT, failure.exitcode > 0
    return (2 if aborted else int(by_error)), failure.timestamp, place


def _number(given: str) -> int | None:
    """The number of processes; None where a file is given."""
    if not given.lstrip("-").isdigit():
        return None
    if int(given) < 1:
        raise InputError(f"--launch {given} was found; give the number of processes, or accelerate's FILE.yaml")
    return int(given)


def _settings(file: Path) -> dict[str, Any]:
    """Accelerate's configuration, if every process it starts holds a whole model.

    Raises:
        InputError: It is no such configuration, or shards the model.
    """
    try:
        settings = read_yaml(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--launch {file} cannot be read ({' '.join(str(error).split())[:200]}); give a number of processes, or "
            "the file that `accelerate config` writes"
        ) from None
    if not isinstance(settings, dict) or "num_processes" not in settings:
        raise InputError(
            f"--launch {file} names no num_processes; give a number, or the file that `accelerate config` writes"
        )
    kind = str(settings.get("distributed_type", "NO")).upper()
    if kind in _SHARDING:
        raise InputError(
            f"--launch {file}: distributed_type is {kind}, which shares a model's weights out over the processes, and "
            "interank trains an adapter beside whole base weights in each; set distributed_type: MULTI_GPU"
        )
    if settings.get("use_cpu") or kind != "MULTI_GPU":
        raise InputError(
            f"--launch {file}: distributed_type is {kind}{' on CPUs' if settings.get('use_cpu') else ''}, for which "
            "accelerate starts one process; set MULTI_GPU, or give a number of processes to start on CPUs"
        )
    return settings


def _count(settings: dict[str, Any]) -> int:
    """The number of processes per machine."""
    return max(1, int(settings["num_processes"]) // max(1, int(settings.get("num_machines") or 1)))


def _without_launch(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for each in arguments:
        if skip or each.startswith("--launch="):
            skip = False
            continue
        if each == "--launch":
            skip = True
            continue
        kept.append(each)
    return kept
