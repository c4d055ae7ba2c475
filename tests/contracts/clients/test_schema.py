"""Requests drawn from the server's own schema are answered, or refused as it says, and never fail in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.presence import need

need("schemathesis")
GIVEN = os.environ.get("INTERANK_SERVED")


@pytest.mark.skipif(GIVEN is None, reason="asks servers that `make contracts` starts")
def test_what_the_schema_allows_finds_no_failure_of_the_server(tmp_path: Path) -> None:
    served, settings = json.loads(GIVEN or ""), tmp_path / "schemathesis.toml"
    # It draws timeouts that no answer is ready in.
    settings.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "504"]\n')
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)]
    command += ["run", f"{served['url']}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--max-examples", "20", "--header", f"X-Api-Key: {served['keys'][0]}"]
    # It leaves a folder of its own where it runs.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    print(done.stdout[-1000:])
