"""How OpenMP's threads wait for work, which has to be said before torch is loaded: asleep, so that others can work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_POLICY = "OMP_WAIT_POLICY"
# Whoever sets one of these has said how threads wait: OpenMP's own name, GNU's and Intel's.
_SAID_BY = (_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_OURS = "passive"
# The value is ours to take back only where this module has set it.
_set_here: list[str] = []


def wait_asleep() -> None:
    """Have the threads of torch's products sleep while they wait; to call before torch is imported.

    By default they spin, and hold a core that another process wants. Processes that are started from here inherit
    it. What the user's environment says of it stands.
    """
    if not any(name in os.environ for name in _SAID_BY):
        os.environ[_POLICY] = _OURS
        _set_here.append(_POLICY)


@contextmanager
def as_the_user_set_it() -> Iterator[None]:
    """Start programs that wait in a way of their own, such as vLLM, without what `wait_asleep` has set."""
    ours = bool(_set_here) and os.environ.get(_POLICY) == _OURS
    if ours:
        del os.environ[_POLICY]
    try:
        yield
    finally:
        if ours:
            os.environ[_POLICY] = _OURS
