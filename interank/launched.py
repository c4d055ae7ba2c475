"""One process is all that interank runs in: what a launcher of several has set is refused before any work."""

from __future__ import annotations

import os

from interank.errors import InputError
from interank.wording import listed

# How many there are, by torchrun and accelerate, and by what starts programs of MPI.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# By this alone transformers waits for other processes. -1 says that there are none.
_RANK = "LOCAL_RANK"


def refuse_several_processes() -> None:
    """Stop where this process is one of several that do the same.

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
            "in one, on one device; start the command by itself (CUDA_VISIBLE_DEVICES chooses the GPU), or "
            f"unset {listed(found)}"
        )
