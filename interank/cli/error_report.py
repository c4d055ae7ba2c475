"""Reports an unforeseen error: its traceback goes to a file, and the user reads one sentence with its path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from interank import __version__
from interank.redaction import redacted


def message(error: Exception) -> str:
    """Write the traceback to a file, and return the sentence that names the error and the file."""
    # Imported here, so that `--help` does not wait for them.
    import tempfile
    import traceback

    summary = redacted(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": "))
    record = redacted("".join(traceback.format_exception(error)))
    try:
        handle, name = tempfile.mkstemp(prefix="interank-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{_machine()}\n{record}")
    except OSError:
        # Without a file the traceback goes to the terminal.
        sys.stderr.write(record)
        return f"unexpected error: {summary}; please report the lines above to interank's maintainers"
    return (
        f"unexpected error: {summary}; its traceback is in {Path(name)}; please report it to interank's maintainers "
        "with that file, after checking which of your paths it contains"
    )


def _machine() -> str:
    import platform

    # The command is included, since it is needed to reproduce the error.
    command = redacted(" ".join(sys.argv[1:]))
    return f"interank {__version__}, Python {platform.python_version()}, {platform.platform()}\ninterank {command}\n"
