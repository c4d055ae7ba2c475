"""Several processes that do one training: which of them this is, and how they agree; one alone loads no torch here."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from interank.errors import InputError, InterankError, TrainingError
from interank.wording import listed

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

TRAINED_TOGETHER = ("distill", "rl", "reward")
"""The stages that several processes may do together."""
# How many there are, by torchrun and accelerate, and by what starts programs of MPI.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# By this alone transformers waits for other processes. -1 says that there are none.
_RANK = "LOCAL_RANK"
# What torchrun sets, and accelerate's launcher, which starts it.
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron",
}
# What accelerate's launcher says of a training beside who computes it. Recipe and model say that.
_NOT_ITS_OWN = ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_DYNAMO_BACKEND")
# Some wait while the first asks a teacher for hours. The death of a process is noticed by its connections.
_PATIENCE = timedelta(days=2)
# This process and what started it, looked up before anything takes long.
_BORN = os.getpid(), os.getppid()
# torchrun's own, whose processes have nobody else. Those that were started by hand may outlive their shell.
_AGENT = "TORCHELASTIC_RUN_ID"
STARTER = "INTERANK_LAUNCHED_BY"
"""The variable that names the process of `--launch`."""
# Seconds between two looks for what started this process, and those that it is given to end by itself.
_LOOK, _TO_END = 1.0, 30.0


class ToldByFirstError(InterankError):
    """What the first process has told already; the others end without a word."""


def world() -> int:
    """How many processes do this training."""
    return int(os.environ["WORLD_SIZE"]) if _by_torchrun() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if _by_torchrun() else 0


def local_rank() -> int:
    """Which of this machine's it is, from 0: the number of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if _by_torchrun() else 0


def local_world() -> int:
    """How many of them share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _by_torchrun() else 1


def first() -> bool:
    """Whether this one writes what there is to be written, and decides."""
    return rank() == 0


def tells_of_its_end() -> bool:
    """Whether this one says that all were ended from outside: what started them does, if it can, else the first."""
    return first() and os.environ.get(STARTER, "") != str(os.getppid())


def notes() -> dict[str, int]:
    """For a manifest: how many processes there were; empty of one."""
    return {"processes": world()} if world() > 1 else {}


def begin() -> None:
    """Meet the other processes, each on a GPU of its own where there are GPUs; nothing where there are no others.

    Raises:
        InputError: They were started by something else than torchrun, or to share a model's weights out.
    """
    if not _by_torchrun():
        refuse_several_processes()
        return
    if found := [name for variable, name in _SHARDED.items() if os.environ.get(variable, "").lower() in ("1", "true")]:
        raise InputError(
            f"{listed(found)} was asked for, which shares a model's weights out over the processes, and interank "
            "trains an adapter beside whole base weights in each; set distributed_type: MULTI_GPU (DDP)"
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
                    f"{torch.cuda.device_count()} GPUs; start as many processes as there are"
                )
            torch.cuda.set_device(local_rank())
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)


def _end_with_parent() -> None:
    """Begin, once, to look for torchrun, and end soon after it: nobody else would end this process."""
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
        # A process that waits for others in native code heeds no signal that Python looks after.
        time.sleep(_TO_END)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=look, name=_AGENT, daemon=True).start()


def barrier() -> None:
    """Wait until every process is here."""
    same(None)


def same(value: T) -> T:
    """The first process's value, in all of them."""
    if world() == 1:
        return value
    import torch

    told: list[Any] = [value]
    torch.distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    return told[0]  # type: ignore[no-any-return]


def gathered(value: T) -> list[T]:
    """Every process's value, in the order of their numbers, in all of them."""
    if world() == 1:
        return [value]
    import torch

    # Objects go through memory, whatever the processes compute on.
    found: list[Any] = [None] * world()
    with torch.device("cpu"):
        torch.distributed.all_gather_object(found, value)
    return found


def added(numbers: Sequence[int]) -> list[int]:
    """The sums over all processes."""
    return [sum(each) for each in zip(*gathered(list(numbers)), strict=True)]


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them; or the end of all, where it cannot be made.

    Raises:
        ToldByFirstError: In the others, where the first raises.
    """
    if world() == 1:
        return make()
    if not first():
        made, fault = same((None, None))
        if fault is not None:
            raise ToldByFirstError(fault)
        return made  # type: ignore[return-value]
    try:
        value = make()
    except (InterankError, OSError, RuntimeError, ValueError) as error:
        # Whatever else ends this process, the others notice by their connections.
        same((None, str(error)))
        raise
    same((value, None))
    return value


def each_of(make: Callable[[], T]) -> list[T]:
    """What every process makes, in all of them; or the end of all, where one cannot make it.

    Raises:
        InputError: In the first, with what another one raised.
        ToldByFirstError: In the others, where one raises.
    """
    if world() == 1:
        return [make()]
    own: tuple[T | None, str | None]
    error: Exception | None = None
    try:
        own = make(), None
    except (InterankError, OSError, RuntimeError, ValueError) as raised:
        own, error = (None, str(raised)), raised
    found = gathered(own)
    fault = next((fault for _, fault in found if fault is not None), None)
    if fault is None:
        return [made for made, _ in found]  # type: ignore[misc]
    if not first():
        raise ToldByFirstError(fault)
    raise error if error is not None else InputError(fault)


def dealt(items: Sequence[T], do: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """What `do` gives for each item, in order: each process does a share of them on end, and all get the whole."""
    if world() == 1:
        return list(do(items))
    own = items[slice(*share(len(items)))]
    return [each for part in gathered(list(do(own)) if own else []) for each in part]


def share(number: int) -> tuple[int, int]:
    """Where this process's part of so many begins and ends."""
    size, more = divmod(number, world())
    start = rank() * size + min(rank(), more)
    return start, start + size + (rank() < more)


def lost(error: BaseException) -> TrainingError | None:
    """The sentence about an error by which this process noticed that another one has ended; None of any other error."""
    if world() == 1:
        return None
    cause: BaseException | None = error
    while cause is not None:
        by_name = type(cause).__name__ in ("DistBackendError", "DistNetworkError")
        by_words = isinstance(cause, RuntimeError) and any(word in str(cause) for word in ("gloo", "NCCL", "c10d"))
        if by_name or by_words:
            return TrainingError(
                f"process {rank()} of {world()} cannot go on, since another one has ended; the last complete "
                "checkpoint is kept, and the same command with --resume goes on"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return all(os.environ.get(name, "") not in ("", "-1") for name in _TORCHRUN)


def refuse_several_processes() -> None:
    """Stop where this process is one of several that do the same, and what it does is for one.

    Raises:
        InputError: They would write one output all at once; says by which variables it was noticed.
    """
    found = {name: value for name in _SIZES if (value := os.environ.get(name, "")) not in ("", "1")}
    if (rank := os.environ.get(_RANK, "")) not in ("", "-1"):
        found[_RANK] = rank
    if found:
        told = ", ".join(f"{name}={value}" for name, value in found.items())
        raise InputError(
            f"{told} is set, as torchrun, accelerate and mpirun do for several processes, and interank runs "
            "this in one, on one device (torchrun may start distill, rl and reward several times over); start the "
            f"command by itself (CUDA_VISIBLE_DEVICES chooses the GPU), or unset {listed(found)}"
        )
