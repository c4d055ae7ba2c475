"""A parallel map over processes, this one included, whose results keep the order of the items."""

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
# Submitted items for each other process, the one in work included.
_UNDER_WAY = 2
# Items for each process that are submitted or finished and not yet yielded: they bound the memory.
_READY = 3


def processes_of(wanted: int | None) -> int:
    """The number of processes, this one included: the wanted number, or the number of cores."""
    if wanted is not None:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(work: Callable[[T], R], items: Iterable[T], processes: int) -> Iterator[R]:
    """Yield `work(item)` for each item, in order, with any number of processes.

    Args:
        work: The function; with several processes it, the items and the results have to be picklable.
        items: The items, taken from the iterable as they are needed.
        processes: The number of processes, this one included.
    """
    if processes == 1:
        yield from map(work, items)
        return
    waiting = iter(items)
    none = object()
    others = processes - 1
    under_way: deque[Future[R] | list[R]] = deque()
    pool = ProcessPoolExecutor(others, mp_context=_clean_start(), initializer=_take_up, initargs=(work,))
    try:
        while True:
            running = sum(isinstance(item, Future) and not item.done() for item in under_way)
            for _ in range(min(others * _UNDER_WAY - running, processes * _READY - len(under_way))):
                if (item := next(waiting, none)) is none:
                    break
                with _nameless_main(), _deferred_signals():
                    under_way.append(pool.submit(_work_on, item))
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
    """The start method: forks of a small server process where the system has it, else spawned processes.

    A fork of this process would copy every page of memory that either process writes to, and might inherit a lock that
    another thread holds and nobody frees.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Hide the main module: otherwise a spawned process would run a script without a `__main__` guard again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Delay signals while a process starts: an interrupted start would leave a process that the pool does not know.

    The new processes inherit the blocked signals: a keyboard interrupt goes to all, and this process ends the others.
    """
    # Started first, because its start would unblock the signals.
    resource_tracker.ensure_running()
    received: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        # Blocking holds for this thread only, and another thread may receive the signal.
        handlers = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _ENDING}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


# The function that a process of the pool applies to items: sent once, since it may be large.
_works: list[Callable[[Any], Any]] = []


def _take_up(work: Callable[[Any], Any]) -> None:
    # A pool ends its processes by SIGTERM when one of them has died.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _works.append(work)


def _end_with_parent() -> None:
    """End this process when its parent ends, also by a kill: otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(item: Any) -> Any:
    return _works[-1](item)
