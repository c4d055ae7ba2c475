"""RankLLM's files in both directions: what it writes is ranked, and what the command writes it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contracts.presence import need

need("rank-llm")
pytestmark = pytest.mark.filterwarnings("default")


def test_its_requests_are_ranked_and_the_results_are_its_own(reranker: Any, expected: Any, tmp_path: Path) -> None:
    from rank_llm.data import Candidate, DataWriter, Query, Request, read_requests_from_file

    from interank.cli.app import main
    from tests.contracts.texts import QUERY, TEXTS

    candidates = [Candidate(f"d{place}", 1.0 / (place + 1), {"text": text}) for place, text in enumerate(TEXTS)]
    given, made = tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    DataWriter([Request(Query(QUERY, "7"), candidates)]).write_in_jsonl_format(str(given))
    asked = ["rerank", str(reranker.source), "--requests", str(given), "--rank-llm", str(made), "--explain", "0"]
    assert main([*asked, "--quiet"]) == 0
    (found,) = read_requests_from_file(str(made))
    assert (found.query.text, str(found.query.qid)) == (QUERY, "7")
    assert [each.doc["text"] for each in found.candidates] == [text for text, _ in expected]
    assert [each.score for each in found.candidates] == pytest.approx([item.score for _, item in expected], abs=1e-5)
    # Its results are requests again.
    assert main([*asked[:3], str(made), *asked[4:5], str(tmp_path / "again.jsonl"), *asked[6:], "--quiet"]) == 0
    (again,) = read_requests_from_file(str(tmp_path / "again.jsonl"))
    assert [each.docid for each in again.candidates] == [each.docid for each in found.candidates]
