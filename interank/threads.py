"""How long OpenMP's threads wait for work before they sleep, which has to be said before torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_COUNT = "GOMP_SPINCOUNT"
# Whoever sets one of these has said how threads wait: OpenMP's own name, GNU's and Intel's.
_SAID_BY = ("OMP_WAIT_POLICY", _COUNT, "KMP_BLOCKTIME")
# GNU's default is 300,000, which holds cores that others want; with 50,000 an idle machine loses 4%, with 0 half
# (benchmarks/busy.py).
_OURS = "100000"
# The value is ours to take back only where this module has set it.
_set_here: list[str] = []


def wait_briefly() -> None:
    """Have the threads of torch's products sleep after a brief wait; to call before torch is imported.

    By default they spin for long, and hold a core that another process wants. Processes that are started from here
    inherit it. What the user's environment says of it stands.
    """
    if not any(name in os.environ for name in _SAID_BY):
        os.environ[_COUNT] = _OURS
        _set_here.append(_COUNT)


@contextmanager
def as_the_user_set_it() -> Iterator[None]:
    """Start programs that wait in a way of their own, such as vLLM, without what `wait_briefly` has set."""
    ours = bool(_set_here) and os.environ.get(_COUNT) == _OURS
    if ours:
        del os.environ[_COUNT]
    try:
        yield
    finally:
        if ours:
            os.environ[_COUNT] = _OURS
