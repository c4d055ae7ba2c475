"""Sets how long OpenMP's threads spin before they sleep; this has to be set before torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_COUNT = "GOMP_SPINCOUNT"
# OpenMP's, GNU's and Intel's variables; if the user has set one, it is left as it is.
_VARIABLES = ("OMP_WAIT_POLICY", _COUNT, "KMP_BLOCKTIME")
# GNU's default of 300,000 occupies cores that other processes need; with 50,000 an idle machine is 4% slower, with 0 it
# is half as fast (benchmarks/busy.py).
_OURS = "100000"
# Only a value that this module has set is removed again.
_set_here: list[str] = []


def wait_briefly() -> None:
    """Make OpenMP's threads sleep after a brief spin; to be called before torch is imported.

    By default they spin long and occupy a core that another process may need. Child processes inherit the setting. A
    value that the user has set is kept.
    """
    if not any(name in os.environ for name in _VARIABLES):
        os.environ[_COUNT] = _OURS
        _set_here.append(_COUNT)


@contextmanager
def as_the_user_set_it() -> Iterator[None]:
    """Undo `wait_briefly` in a block that starts programs which manage their own threads, such as vLLM."""
    ours = bool(_set_here) and os.environ.get(_COUNT) == _OURS
    if ours:
        del os.environ[_COUNT]
    try:
        yield
    finally:
        if ours:
            os.environ[_COUNT] = _OURS
