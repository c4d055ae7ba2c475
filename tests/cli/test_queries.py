"""`interank queries` writes a row a question, goes on where it was killed, and takes no chatter for a query."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank.cli.app import main
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, Sampling
from interank.ir.benchmarks import read_search_queries
from interank.reranking.search_queries import search_queries
from interank.settings import PromptSettings
from interank.types import Query
from tests.support.benchmark import benchmark_folder


class Scripted:
    """Answers with given texts, cut by the budget where they do not end."""

    def __init__(self, encoder: PromptEncoder, answers: list[tuple[str, bool]]) -> None:
        self._answers = [Completion(tuple(encoder.plain(text)), (), ended) for text, ended in answers]
        self.asked: list[Prompt] = []

    def generate(self, prompts: list[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        self.asked += prompts
        return self._answers


def test_lists_are_read_and_everything_else_is_none(tiny_folder: Path) -> None:
    from transformers import AutoTokenizer

    encoder = PromptEncoder(
        AutoTokenizer.from_pretrained(tiny_folder), PromptSettings(max_length=1024, max_query_tokens=64)
    )
    answers = [
        ("1. red fox\n2. barn", True),
        ("1. red fox\n2. ba", False),
        ("Sure! 1. red fox", True),
        ("1. re", False),
    ]
    engine = Scripted(encoder, answers)
    queries = [Query(f"q{n}", "Where is the red fox?") for n in range(4)]
    found = search_queries(engine, encoder, queries, limit=5, max_new_tokens=32)  # type: ignore[arg-type]
    assert found == [("red fox", "barn"), ("red fox",), None, None]
    assert len(engine.asked) == 4


def test_each_question_gets_a_row_and_the_rest_is_written_after_a_kill(
    tiny_adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = benchmark_folder(tmp_path / "b")
    out = tmp_path / "queries.jsonl"
    command = ["queries", str(tiny_adapter), "--corpus", str(benchmark), "--out", str(out), "--max-tokens", "8"]
    assert main([*command, "--batch", "2"]) == 0
    whole = out.read_text()
    rows = [json.loads(line) for line in whole.splitlines()]
    assert [row["_id"] for row in rows] == [
        json.loads(line)["_id"] for line in (benchmark / "queries.jsonl").read_text().splitlines()
    ]
    # A model that was not taught the task writes no list; then the question is asked, and it is told.
    plain = [row for row in rows if not row["written"]]
    assert f"{len(plain)} of {len(rows)} questions" in capsys.readouterr().err
    assert set(read_search_queries(out)) == {row["_id"] for row in rows}
    first = whole.splitlines(keepends=True)
    out.write_text(first[0] + first[1][: len(first[1]) // 2])
    assert main([*command, "--batch", "2", "--quiet"]) == 0
    assert [json.loads(line)["_id"] for line in out.read_text().splitlines()] == [row["_id"] for row in rows]
    assert (
        main(
            [
                "evaluate",
                "evaluate/benchmark",
                f"benchmark={benchmark}",
                f"first_stage_queries={out}",
                "--out",
                str(tmp_path / "eval"),
                "--quiet",
            ]
        )
        == 0
    )


def test_a_missing_folder_is_told_before_anything_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "missing" / "q.jsonl"
    assert main(["queries", "no-model", "--corpus", str(tmp_path), "--out", str(out)]) == 1
    assert str(out) in capsys.readouterr().err
