"""An error that nobody foresaw: its traceback goes to a file, and a sentence says where that is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from interank import __version__
from interank.redaction import redacted


def told(error: Exception) -> str:
    """Write down what failed and how; the sentence that says so and where the file is."""
    # Whoever asks for help need not wait for these.
    import tempfile
    import traceback

    what = redacted(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": "))
    record = redacted("".join(traceback.format_exception(error)))
    try:
        handle, name = tempfile.mkstemp(prefix="interank-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{_machine()}\n{record}")
    except OSError:
        # There is no place left for it but the terminal.
        sys.stderr.write(record)
        return f"an error that interank has no words for: {what}; please report the lines above to its maintainers"
    return (
        f"an error that interank has no words for: {what}; what led to it stands in {Path(name)}; please report it "
        "to interank's maintainers with that file, after a look at what it says of your paths"
    )


def _machine() -> str:
    import platform

    # The command stands in it, since without that nobody can see the error again.
    asked = redacted(" ".join(sys.argv[1:]))
    return f"interank {__version__}, Python {platform.python_version()}, {platform.platform()}\ninterank {asked}\n"
