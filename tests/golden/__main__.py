"""`python -m tests.golden [CASE ...]`: compute the golden file anew, after a change that is meant to move a number."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.golden.cases import CASES, world
from tests.golden.test_golden import GOLDEN


def _rounded(value: Any) -> Any:
    """Nine digits say more than the tolerance asks, and last bits would change in every diff."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main(names: list[str]) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder))
        for name in names or CASES:
            place = Path(folder) / "cases" / name
            place.mkdir(parents=True)
            golden[name] = _rounded(json.loads(json.dumps(CASES[name](made, place))))
            kept = {case: golden[case] for case in CASES if case in golden}
            GOLDEN.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(name)


main(sys.argv[1:])
