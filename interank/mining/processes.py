"""Does the same work on many things with a process a core, this one among them; results come in their order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_ENDING = (signal.SIGINT, signal.SIGTERM)
# Things under way for each other process, the one it works on among them.
_UNDER_WAY = 2
# Things for each process that may be under way or wait to be taken: they bound the memory.
_READY = 3


def processes_of(wanted: int | None) -> int:
    """How many processes work, this one among them: so many, or one a core."""
    if wanted is not None:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worked_on(work: Callable[[T], R], things: Iterable[T], processes: int) -> Iterator[R]:
    """What `work` makes of each thing, in their order, whatever the number of processes.

    Args:
        work: What to do; with several processes it, the things and what it makes have to be picklable.
        things: What to do it with, taken as they are needed.
        processes: How many processes work, this one among them.
    """
    if processes == 1:
        yield from map(work, things)
        return
    waiting = iter(things)
    none = object()
    others = processes - 1
    under_way: deque[Future[R] | list[R]] = deque()
    pool = ProcessPoolExecutor(others, mp_context=_clean_start(), initializer=_take_up, initargs=(work,))
    try:
        while True:
            given = sum(isinstance(thing, Future) and not thing.done() for thing in under_way)
            for _ in range(min(others * _UNDER_WAY - given, processes * _READY - len(under_way))):
                if (thing := next(waiting, none)) is none:
                    break
                with _nameless_main(), _undisturbed():
                    under_way.append(pool.submit(_work_on, thing))
            if not under_way:
                return
            first = under_way[0]
            waits = isinstance(first, Future) and not first.done() and len(under_way) < processes * _READY
            if waits and (own := next(waiting, none)) is not none:
                under_way.append([work(own)])  # type: ignore[arg-type]
                continue
            under_way.popleft()
            yield first.result() if isinstance(first, Future) else first[0]
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def _clean_start() -> BaseContext:
    """How processes start: as forks of a small server where there can be one.

    A fork of this process would have to copy every page of memory that either of them writes to, and might inherit a
    lock of another thread that nobody frees.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the main module: a spawned process would run a script that has no `if __name__ == "__main__"` again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes whole, or one that nobody knows of would be left and complain; a signal comes into force then.

    They inherit that signals are blocked: the keyboard's interrupt goes to all, and it is this process that ends them.
    """
    # It would take the block away while it starts.
    resource_tracker.ensure_running()
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        # The block is this thread's, and a signal may come to another.
        handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


# What a process of the pool does with each thing: given once, since it may hold much.
_works: list[Callable[[Any], Any]] = []


def _take_up(work: Callable[[Any], Any]) -> None:
    # With it a pool ends its processes when one of them has died.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _works.append(work)


def _end_with_parent() -> None:
    """Be gone when whoever started this process is, also by a kill: nobody else would end a wait for more work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(thing: Any) -> Any:
    return _works[-1](thing)
