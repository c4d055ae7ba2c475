"""What `interank rerank` refuses before a model is looked at, each in one sentence with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.cli.app import main

REFUSED = {
    "--requests R --split test": "--run, --task and --split belong to --corpus; with --requests the documents",
    "--requests R --corpus C": "give either --query TEXT with document files, or --corpus DIR",
    "--requests R a.txt": "a.txt stands beside --requests, whose documents are ranked; leave one of them out",
    "--requests R --server http://h/v1": "belong to --engine openai; found engine transformers",
    "--requests R --engine openai": "engine openai and a server belong together",
    "--requests R --engine openai --server host": "--server: urls: 'host' was found, http://HOST:PORT/v1",
    "--requests R --guard fence --mode listwise": "--guard fence corrects grades, and mode listwise has none",
    "--requests R --guard fence --head legacy=dear": "--guard fence corrects grades, and a head gives none",
    "--requests R --guard fence --fit F": "--guard fence moves scores, which --fit and mode adaptive take as they are",
    "--requests R --guard fence --mode adaptive": "--guard fence moves scores",
    "--requests R --lists window=3": "--lists belongs to mode listwise; set --mode or --then-mode",
    "--requests R --mode listwise --lists window=1": "--lists: window: Input should be greater than or equal to 2",
    "--requests R --mode listwise --lists window": "--lists: ",
    "--requests R --adaptive cut=3": "--adaptive and budgets belong to mode adaptive; found mode score; set --mode",
    "--requests R --mode adaptive --adaptive spend=none,lists.window=3": "--adaptive: lists: given where spend is none",
    "--requests R --mode adaptive --fit F": "--fit and --explain belong to other modes than adaptive; leave them out",
    "--requests R --head legacy=dear --mode reason": "--head belongs to mode score on engine transformers",
    "--requests R --domain a=A --domain a=B": "--domain a was given twice; give each domain one adapter",
    "--requests R --domain a=A --fit F": "--fit is of one model, and --domain gives several",
    "--requests R --then M --explain 1": "--explain belongs to one reranker; found --then as well",
    "--requests R --jsonl o.jsonl --trec o.jsonl": "--jsonl and --trec are one file",
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
    assert REFUSED[options] in told
    assert "no-such-model" not in told
    assert "Traceback" not in told
    assert [file.name for file in tmp_path.iterdir()] == ["R"]
    assert Path("R").read_bytes() == before
