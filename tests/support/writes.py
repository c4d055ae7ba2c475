"""What a process makes, changes, renames or removes below some folders, put on file the moment it does so."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Python's events: which of their arguments are paths, and which the folder that a path begins in.
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "shutil.rmtree": ((0, 1),),
    "sqlite3.connect": ((0, None),),
}


def record(folders: Sequence[Path], file: Path) -> None:
    """From here on, as long as this process lives: a line of the file for each change below the folders.

    A folder that is made where there is one is no change.
    """
    _record_native(folders, stream := os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND))

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            name, _, flags = given
            if flags & _WRITING and (path := _path(name)):
                _note(event, path, folders, stream)
        for place, start in _CHANGES.get(event, ()):
            path = _path(given[place], given[start] if start is not None and len(given) > start else -1)
            if path is not None and not (event == "os.mkdir" and path.is_dir()):
                _note(event, path, folders, stream)

    sys.addaudithook(hook)


def _record_native(folders: Sequence[Path], stream: int) -> None:
    """The writers that are not Python's, which tell no hook."""
    import safetensors.torch
    import torch

    for module, name, place in ((safetensors.torch, "serialize_file", 1), (torch._C, "PyTorchFileWriter", 0)):
        before = getattr(module, name)

        def told(*given: Any, before: Any = before, name: str = name, place: int = place, **more: Any) -> Any:
            if path := _path(given[place]):
                _note(name, path, folders, stream)
            return before(*given, **more)

        setattr(module, name, told)


def _path(name: Any, start: Any = -1) -> Path | None:
    """What a name or the number of an open file stands for; names may begin at the open folder `start`."""
    try:
        if isinstance(name, int):
            return Path(f"/proc/self/fd/{name}").readlink()
        begin = Path(f"/proc/self/fd/{start}").readlink() if isinstance(start, int) and start >= 0 else Path.cwd()
        return begin / os.fsdecode(name)
    except (OSError, TypeError):
        return None


def _note(event: str, path: Path, folders: Sequence[Path], stream: int) -> None:
    if any(path.is_relative_to(folder) for folder in folders):
        where = next((each for each in reversed(traceback.extract_stack()) if "/interank/" in each.filename), None)
        told = f" by {where.filename}:{where.lineno}" if where else ""
        os.write(stream, f"{event} {path}{told}\n".encode())
