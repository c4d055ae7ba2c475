"""The notebook runs from its first cell to its last, with the starter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from interank.tasks.query_ranking import QueryRanking
from tests.test_readme import ROOT, workplace

__all__ = ["workplace"]

BOOK = ROOT / "notebooks" / "quickstart.ipynb"


def cells() -> list[str]:
    book = json.loads(BOOK.read_text("utf-8"))
    assert book["nbformat"] == 4
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; what its last expression gives, which a notebook would show."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(BOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(BOOK), "eval"), names) if last else None


def test_it_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    names: dict[str, Any] = {"__name__": "__main__"}
    values = [shown(source, names) for source in cells()]
    [ranking] = [value for value in values if isinstance(value, QueryRanking)]
    assert "<table" in ranking._repr_html_()
    assert len(ranking) == 4 and ranking[0].relevance is not None
    assert set(values[-1]) == {"BM25", "reranked"}


def test_what_it_shows_was_run() -> None:
    book = json.loads(BOOK.read_text("utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any("text/html" in output.get("data", {}) for cell in code for output in cell["outputs"])
