"""What `interank rerank` refuses before a model is looked at, each in one sentence with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interank.cli.app import main

REFUSED = {
    "--query Q a.txt --shards 1/2": "--shards divides queries, and --query is a single one",
    "--requests R --split test": "--run, --task and --split .*--corpus.*--requests",
    "--requests R --corpus C": "--query TEXT.*--corpus DIR",
    "--requests R a.txt": "a.txt .*--requests",
    "--requests R --server http://h/v1": "--engine openai.*engine is transformers",
    "--requests R --engine openai": "engine openai .*server",
    "--requests R --engine openai --server host": "--server: urls: number 1 .*http://HOST:PORT/v1",
    "--requests R --memory 0": "greater than 0",
    "--requests R --memory 2 --engine vllm": "--memory .*--engine transformers",
    "--requests R --memory 2 --head legacy=dear": "--memory .*--head",
    "--requests R --guard fence --mode listwise": "--guard fence .*mode listwise",
    "--requests R --guard fence --head legacy=dear": "--guard fence .*head",
    "--requests R --guard fence --fit F": "--guard fence .*--fit",
    "--requests R --guard fence --mode adaptive": "--guard fence .*mode adaptive",
    "--requests R --lists window=3": "--lists .*mode listwise.*--mode",
    "--requests R --mode listwise --lists window=1": "--lists: window: .* 2",
    "--requests R --mode listwise --lists window": "--lists: ",
    "--requests R --adaptive cut=3": "--adaptive .*mode adaptive.*mode is score.*--mode",
    "--requests R --mode adaptive --adaptive spend=none,lists.window=3": "--adaptive: lists: .*spend is none",
    "--requests R --mode adaptive --fit F": "--fit and --explain .*adaptive",
    "--requests R --head legacy=dear --mode reason": "--head .*mode score .*engine transformers",
    "--requests R --domain a=A --domain a=B": "--domain a ",
    "--requests R --domain a=A --fit F": "--fit .*--domain",
    "--requests R --then M --explain 1": "--explain .*--then",
    "--requests R --jsonl o.jsonl --trec o.jsonl": "--jsonl and --trec",
    "--requests R --jsonl R": "--jsonl",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_does_not_go_together_is_told_before_the_model_is_looked_at(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("R").write_text('{"query": "q", "documents": ["a"]}\n')
    before = Path("R").read_bytes()
    assert main(["rerank", "no-such-model", *options.split()]) == 1
    told = capsys.readouterr().err
    assert re.search(REFUSED[options], told)
    assert "no-such-model" not in told
    assert "Traceback" not in told
    assert [file.name for file in tmp_path.iterdir()] == ["R"]
    assert Path("R").read_bytes() == before
