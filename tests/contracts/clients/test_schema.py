"""Requests drawn from the server's own schema are answered, or refused as it says, and never fail in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.contracts.clients.expectations import Served, counted
from tests.contracts.presence import need

need("schemathesis")
GIVEN = os.environ.get("INTERANK_SERVED")
# TEI's clients are told 424 where the model failed.
FAILED = (424, *(status for status in range(500, 600) if status != 504))
# Of rankings that have to be answered.
LEAST = 500


def routes_that_rank(served: Served) -> set[str]:
    with urlopen(Request(f"{served.url}/openapi.json", headers={"X-Api-Key": served.keys[0]})) as reply:
        paths = json.load(reply)["paths"]
    return {path for path, ways in paths.items() if any("rank" in way["tags"] for way in ways.values())}


@pytest.mark.skipif(GIVEN is None, reason="asks servers that `make contracts` starts")
def test_what_the_schema_allows_finds_no_failure_of_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served, settings = Served(**json.loads(GIVEN or "")), tmp_path / "schemathesis.toml"
    # It draws timeouts that no answer is ready in.
    settings.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "504"]\n')
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)]
    command += ["run", f"{served.url}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--max-examples", "20", "--header", f"X-Api-Key: {served.keys[0]}"]
    rankings, before = routes_that_rank(served), counted(served.metrics())
    # It leaves a folder of its own where it runs.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    # Of what is refused after a stream began, and of TEI's refusals, its check sees nothing.
    added = counted(served.metrics()) - before
    by_status: Counter[int] = Counter()
    ranked: Counter[str] = Counter()
    for (route, _, status), count in added.items():
        by_status[status] += count
        if status == 200 and (path := route.replace(":path", "")) in rankings:
            ranked[path] += count
    with capsys.disabled():
        print(f"\nrequests by status: {dict(sorted(by_status.items()))}")
        print(f"rankings: {ranked.total()} by {len(ranked)} of {len(rankings)} routes")
    assert not [key for key in added if key.status in FAILED], added
    assert ranked.total() >= LEAST, added
