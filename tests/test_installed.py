"""What `make audit` asks before it compares: whether known vulnerabilities are told where pip-audit looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.installed import require_advisories


def test_an_audit_is_made_only_where_vulnerabilities_are_told(tmp_path: Path) -> None:
    page = tmp_path / "json"
    with pytest.raises(SystemExit, match=r"nothing was compared .*No such file.*pypi.org itself answers"):
        require_advisories(page.as_uri())
    for found, why in (("<html>a mirror</html>", "Expecting value"), (json.dumps({"info": {}}), "it tells none")):
        page.write_text(found)
        with pytest.raises(SystemExit, match=rf"nothing was compared .*{why}"):
            require_advisories(page.as_uri())
    page.write_text(json.dumps({"info": {}, "vulnerabilities": []}))
    require_advisories(page.as_uri())
