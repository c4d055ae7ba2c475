"""The table of tools in the documents is what was measured, of all that it should be of, and within what is allowed."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from tests.contracts.matrix import FAMILIES, FIGURES, faults, with_table
from tests.contracts.reading import TOOLS

TABLE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


def test_the_table_in_the_documents_is_what_was_measured() -> None:
    told = json.loads(FIGURES.read_text("utf-8"))
    text = TABLE.read_text("utf-8")
    assert with_table(text, told) == text
    assert not faults(told)
    assert tuple(told["allowed"]) == FAMILIES
    hows: dict[str, set[str]] = {}
    for row in told["rows"]:
        assert tuple(row["found"]) == FAMILIES
        assert min(cell["pairs"] for cell in row["found"].values()) > 100
        hows.setdefault(row["tool"].rpartition(" ")[0], set()).add(row["how"])
        hows.setdefault(row["tool"], set()).add(row["how"])
    for reader in ("transformers", "sentence-transformers", "onnxruntime"):
        assert hows[reader] == {"1, right", "32, right", "32, left"}
    for name, tool in TOOLS.items():
        assert hows[name] == {"its own" if size is None else str(size) for size in tool.sizes}, name


def test_what_lies_beyond_is_a_fault() -> None:
    told = json.loads(FIGURES.read_text("utf-8"))
    for name, value in (("largest", 0.1), ("largest", float("nan")), ("tau", 0.5), ("inert", False), ("prompts", 1)):
        worse = copy.deepcopy(told)
        worse["rows"][3]["found"]["Qwen3"][name] = value
        (fault,) = faults(worse)
        assert worse["rows"][3]["tool"] in fault and "Qwen3" in fault
