"""Shards on Ray: who has room for how many workers; that killed ones lose nothing is tried by `make chaos`."""

from __future__ import annotations

import pytest

from interank.errors import InputError
from interank.stages.spread import require_room


def test_more_workers_than_there_is_room_for_are_refused() -> None:
    require_room({"CPU": 4.0, "GPU": 2.0}, 2, 1)
    with pytest.raises(InputError, match="--workers 5: each takes 1 CPU, and Ray has 4 in all"):
        require_room({"CPU": 4.0}, 5, 0)
    with pytest.raises(InputError, match="--workers 2: each takes 4 GPU, and Ray has 4 in all"):
        require_room({"CPU": 4.0, "GPU": 4.0}, 2, 4)
