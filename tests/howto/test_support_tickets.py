"""The how-to on support tickets is run as it stands: from the raw table to an answer that was ranked first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import open_artifact
from interank.judgments import read_judgments
from tests.support.stub import Stub, said, serving
from tests.support.tiny import tiny_model
from tests.test_readme import ROOT, read_snippets, run_bash, run_python, workplace

__all__ = ["workplace"]

DOCUMENT = ROOT / "docs" / "howto" / "support-tickets.md"
# What stands in the document in the place of the reader's.
SERVER = "http://localhost:8000/v1"
STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_from_the_raw_table_to_a_ranked_answer(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The teacher is a server that answers in sentences, and the student a tiny model under the released one's name."""
    monkeypatch.chdir(workplace)
    tiny_model(workplace / STUDENT)
    teacher = Stub(lambda number, body: said(f"Reason {number} says what of the ticket the reply settles."))
    names: dict[str, Any] = {"__name__": "__main__"}
    with serving(teacher):
        text = DOCUMENT.read_text("utf-8")
        assert SERVER in text
        for snippet in read_snippets(DOCUMENT, text.replace(SERVER, teacher.url)):
            if snippet.run and snippet.language == "bash":
                run_bash(snippet, workplace)
            elif snippet.run and snippet.language == "python":
                capsys.readouterr()
                run_python(snippet, names)

    votes, explained = (read_judgments(workplace / "runs" / name) for name in ("votes", "explained"))
    assert {item.judgment.reasoning for item in votes} == {""}
    assert all(item.judgment.reasoning.startswith("Reason ") for item in explained)
    assert [item.judgment.relevance for item in explained] == [item.judgment.relevance for item in votes]
    assert len(teacher.bodies) == len(votes)
    assert open_artifact(workplace / "runs" / "student", "adapter").manifest["modes"] == ["score", "explain"]

    test = open_artifact(workplace / "runs" / "test", "evaluation").manifest
    assert any(
        "0 of 9 test queries and 35 of 56 test documents were seen in training" in note for note in test["notes"]
    )
    metrics = json.loads((workplace / "runs" / "test" / "metrics.json").read_text("utf-8"))
    assert "student, fused" in str(metrics)
    assert (workplace / "runs" / "test" / "report.html").is_file()

    replies = (workplace / "runs" / "split" / "corpus.jsonl").read_text("utf-8")
    assert len(names["answers"]) == 3
    assert all(json.dumps(answer)[1:-1] in replies for answer in names["answers"])
    assert capsys.readouterr().out.strip() == names["answers"][0]
