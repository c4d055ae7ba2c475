"""One training in several processes: ranks, and exchange of values. With one process no torch is loaded."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from interank.errors import InputError, InterankError, TrainingError
from interank.wording import listed

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

TRAINED_TOGETHER = ("distill", "rl", "reward")
"""The stages that several processes can run together."""
# The number of processes, as torchrun, accelerate and MPI launchers set it.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# If it is set, transformers waits for other processes; -1 means that there are none.
_RANK = "LOCAL_RANK"
# The variables of torchrun, which accelerate's launcher starts.
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron",
}
# Settings of accelerate's launcher that the recipe and the model decide here.
_NOT_ITS_OWN = ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_DYNAMO_BACKEND")
# Other processes wait while the first asks a teacher for hours; a dead process is noticed by its closed connections.
_PATIENCE = timedelta(days=2)
# The ids of this process and its parent, read at once, before the parent can end.
_BORN = os.getpid(), os.getppid()
# Set by torchrun, whose processes have to end when it ends. Processes started by hand may outlive their shell.
_AGENT = "TORCHELASTIC_RUN_ID"
STARTER = "INTERANK_LAUNCHED_BY"
"""The variable that names the process of `--launch`."""
# Seconds between two checks of the parent process, and seconds from SIGTERM to SIGKILL.
_LOOK, _TO_END = 1.0, 30.0


class ToldByFirstError(InterankError):
    """An error that the first process has already printed; the others end silently."""


def world() -> int:
    """The number of processes of this training."""
    return int(os.environ["WORLD_SIZE"]) if _by_torchrun() else 1


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ["RANK"]) if _by_torchrun() else 0


def local_rank() -> int:
    """This process's number on its machine, from 0: the number of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if _by_torchrun() else 0


def local_world() -> int:
    """The number of processes on this machine, which share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _by_torchrun() else 1


def first() -> bool:
    """Whether this process is the first, which writes files and decides."""
    return rank() == 0


def tells_of_its_end() -> bool:
    """Whether this process prints that all were ended from outside: the first does, unless `--launch` started it."""
    return first() and os.environ.get(STARTER, "") != str(os.getppid())


def notes() -> dict[str, int]:
    """The manifest's entry on the number of processes; empty for one."""
    return {"processes": world()} if world() > 1 else {}


def begin() -> None:
    """Join the process group, each process on a GPU of its own if there are GPUs; does nothing for a single process.

    Raises:
        InputError: The processes were not started by torchrun, or are to shard a model's weights.
    """
    if not _by_torchrun():
        refuse_several_processes()
        return
    if sharding := [
        name for variable, name in _SHARDED.items() if os.environ.get(variable, "").lower() in ("1", "true")
    ]:
        raise InputError(
            f"{listed(sharding)} shards a model's weights over processes, but interank trains an adapter beside whole "
            "base weights in each; set distributed_type: MULTI_GPU (DDP)"
        )
    for name in _NOT_ITS_OWN:
        os.environ.pop(name, None)
    if world() == 1:
        return
    _end_with_parent()
    import torch

    if not torch.distributed.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            if local_rank() >= torch.cuda.device_count():
                raise InputError(
                    f"process {rank()} is number {local_rank()} of its machine, which has "
                    f"{torch.cuda.device_count()} GPUs; start one process for each GPU"
                )
            torch.cuda.set_device(local_rank())
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)


def _end_with_parent() -> None:
    """Start a thread, once, that ends this process when torchrun has ended; nothing else would end it."""
    if _AGENT not in os.environ or any(thread.name == _AGENT for thread in threading.enumerate()):
        return
    process, parent = _BORN
    if process != os.getpid():
        # Forked later.
        parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        if first():
            log.error("interank: what started the %d processes has ended, and they end with it", world())
        os.kill(os.getpid(), signal.SIGTERM)
        # A process that waits for others in native code does not run Python's signal handlers.
        time.sleep(_TO_END)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=look, name=_AGENT, daemon=True).start()


@contextmanager
def ending_children() -> Iterator[None]:
    """End the processes that were started within and still run, as torchrun's agent leaves them where a signal arrives.

    They are the children that were not there before: a process's environment, which would tell, can be read only some
    time after its start.
    """
    import psutil

    own = psutil.Process()
    others = own.children()
    try:
        yield
    finally:
        left = [child for child in own.children() if child not in others]
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        for child in psutil.wait_procs(left, timeout=_TO_END)[1]:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def barrier() -> None:
    """Wait for all processes."""
    same(None)


def same(value: T) -> T:
    """Broadcast the first process's value and return it in all."""
    if world() == 1:
        return value
    import torch

    values: list[Any] = [value]
    torch.distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]  # type: ignore[no-any-return]


def gathered(value: T) -> list[T]:
    """Gather every process's value, by rank, in all processes."""
    if world() == 1:
        return [value]
    import torch

    # Objects are exchanged on the CPU, whatever device the processes compute on.
    values: list[Any] = [None] * world()
    with torch.device("cpu"):
        torch.distributed.all_gather_object(values, value)
    return values


def added(numbers: Sequence[int]) -> list[int]:
    """Sum each number over all processes."""
    return [sum(each) for each in zip(*gathered(list(numbers)), strict=True)]


def from_first(make: Callable[[], T]) -> T:
    """Call `make` in the first process and return its value in all; if it raises, all raise.

    Raises:
        ToldByFirstError: In the other processes, if the first raises.
    """
    if world() == 1:
        return make()
    if not first():
        received, fault = same((None, None))
        if fault is not None:
            raise ToldByFirstError(fault)
        return received  # type: ignore[return-value]
    try:
        value = make()
    except (InterankError, OSError, RuntimeError, ValueError) as error:
        # After any other exception this process ends, which the others notice by their closed connections.
        same((None, str(error)))
        raise
    same((value, None))
    return value


def each_of(make: Callable[[], T]) -> list[T]:
    """Call `make` in every process and return all values in all; if one raises, all raise.

    Raises:
        InputError: In the first process, with another one's message.
        ToldByFirstError: In the other processes, if any raises.
    """
    if world() == 1:
        return [make()]
    own: tuple[T | None, str | None]
    error: Exception | None = None
    try:
        own = make(), None
    except (InterankError, OSError, RuntimeError, ValueError) as raised:
        own, error = (None, str(raised)), raised
    results = gathered(own)
    fault = next((fault for _, fault in results if fault is not None), None)
    if fault is None:
        return [value for value, _ in results]  # type: ignore[misc]
    if not first():
        raise ToldByFirstError(fault)
    raise error if error is not None else InputError(fault)


def dealt(items: Sequence[T], do: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """Apply `do` to a contiguous share of the items in each process; return all results, in order, in every process."""
    if world() == 1:
        return list(do(items))
    own = items[slice(*share(len(items)))]
    return [each for part in gathered(list(do(own)) if own else []) for each in part]


def share(number: int) -> tuple[int, int]:
    """The start and end of this process's share of `number` items."""
    size, more = divmod(number, world())
    start = rank() * size + min(rank(), more)
    return start, start + size + (rank() < more)


def lost(error: BaseException) -> TrainingError | None:
    """The error to raise if `error` shows that another process has ended; None for any other error."""
    if world() == 1:
        return None
    cause: BaseException | None = error
    while cause is not None:
        by_name = type(cause).__name__ in ("DistBackendError", "DistNetworkError")
        by_words = isinstance(cause, RuntimeError) and any(word in str(cause) for word in ("gloo", "NCCL", "c10d"))
        if by_name or by_words:
            return TrainingError(
                f"process {rank()} of {world()} cannot continue, since another one has ended; the last complete "
                "checkpoint is kept, and the same command with --resume goes on"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return all(os.environ.get(name, "") not in ("", "-1") for name in _TORCHRUN)


def refuse_several_processes() -> None:
    """Refuse to run a single-process command in several processes.

    Raises:
        InputError: A launcher's variables are set; all processes would write the same output.
    """
    variables = {name: value for name in _SIZES if (value := os.environ.get(name, "")) not in ("", "1")}
    if (rank := os.environ.get(_RANK, "")) not in ("", "-1"):
        variables[_RANK] = rank
    if variables:
        settings = ", ".join(f"{name}={value}" for name, value in variables.items())
        raise InputError(
            f"{settings} is set, as torchrun, accelerate and mpirun do for several processes, but interank runs "
            "this command in one process on one device (torchrun may start distill, rl and reward in several); start "
            f"the command by itself (CUDA_VISIBLE_DEVICES chooses the GPU), or unset {listed(variables)}"
        )
