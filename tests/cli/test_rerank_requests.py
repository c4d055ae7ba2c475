"""`interank rerank --requests`: forms of requests, what is written, and what a killed command goes on from."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from interank.cli.app import main
from interank.ir.trec import read_run
from tests.support import rule
from tests.support.benchmark import write_jsonl
from tests.support.commands import forked

Capture = pytest.CaptureFixture[str]


def request(name: str, *, documents: int = 5) -> dict[str, Any]:
    colour, animal = rule.COLOURS[len(name) % 6], rule.ANIMALS[int(name[1:]) % 8]
    texts = [rule.document_text(colour, animal, place) for place in rule.PLACES] * 3
    given = [{"id": f"{name}-{place}", "text": text} for place, text in enumerate(texts[:documents])]
    return {"query_id": name, "query": rule.query_text(colour, animal), "documents": given}


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "asked.jsonl", [request(f"q{number}") for number in range(6)])


def called(capsys: Capture, *arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["rerank", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_requests_become_a_run_and_rows_with_explanations(
    capsys: Capture, tiny_adapter: Path, requests: Path, tmp_path: Path
) -> None:
    run, rows = tmp_path / "ours.trec", tmp_path / "ours.jsonl"
    options = ["--mode", "explain", "--explain", "1", "--max-reasoning-tokens", "3", "--trec", run, "--jsonl", rows]
    code, printed, _ = called(capsys, tiny_adapter, "--requests", requests, *options, "--json")
    assert code == 0
    assert [json.loads(line) for line in rows.read_text().splitlines()] == printed
    ranked = read_run(run)
    assert list(ranked) == [f"q{number}" for number in range(6)]
    for row in printed:
        assert ranked.doc_ids(row["query_id"]) == [item["doc_id"] for item in row["ranking"]]
        assert [item["explanation"] is not None for item in row["ranking"]] == [True, *[False] * 4]
        assert {item["truncated"] for item in row["ranking"]} == {0}
    assert {file.name for file in tmp_path.iterdir()} == {"asked.jsonl", "ours.trec", "ours.jsonl"}


def test_shards_one_after_the_other_are_the_whole(
    capsys: Capture, tiny_adapter: Path, requests: Path, tmp_path: Path
) -> None:
    def files(name: str) -> list[Path]:
        return [tmp_path / f"{name}.jsonl", tmp_path / f"{name}.trec"]

    def options(name: str) -> list[object]:
        rows, run = files(name)
        return [tiny_adapter, "--requests", requests, "--jsonl", rows, "--trec", run, "--json"]

    assert called(capsys, *options("whole"))[0] == 0
    for number in range(1, 5):
        assert called(capsys, *options(f"{number}"), "--shards", f"{number}/4")[0] == 0
    for place, whole in enumerate(files("whole")):
        assert b"".join(files(f"{number}")[place].read_bytes() for number in range(1, 5)) == whole.read_bytes()
    code, _, told = called(capsys, *options("more"), "--shards", "1/7")
    assert code == 1
    assert "shard 1/7: there are 6 requests, and each shard needs one" in told


def test_the_forms_of_other_toolkits_are_read(capsys: Capture, tiny_adapter: Path, tmp_path: Path) -> None:
    rankllm = {
        "query": {"text": "Where is the red fox?", "qid": "r"},
        "candidates": [
            {"docid": "a", "score": 2.0, "doc": {"contents": "A red fox."}},
            {"docid": "b", "doc": "A cow."},
        ],
    }
    plain = {"query": "Where is the red fox?", "documents": ["A red fox.", "A cow."]}
    asked = write_jsonl(tmp_path / "asked.jsonl", [rankllm, plain])
    _, rows, _ = called(capsys, tiny_adapter, "--requests", asked, "--json")
    assert [row["query_id"] for row in rows] == ["r", "2"]
    (one, other) = ({item["doc_id"]: item["score"] for item in row["ranking"]} for row in rows)
    assert (one["a"], one["b"]) == (other["0"], other["1"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "q"}, "documents"),
        ({"query": " ", "documents": ["a"]}, "documents"),
        ({"query": "q", "documents": [{"id": "d"}]}, "text"),
        ({"query_id": "\ud800", "query": "q", "documents": ["a"]}, "half a character"),
        (
            {"query": "q", "documents": [{"id": "a", "text": "t", "score": float("nan")}]},
            "nan.*finite",
        ),
        ({"query": "q", "documents": [{"id": "a", "text": "t", "score": 10**400}]}, "finite"),
        ({"query": "q", "documents": [{"id": "a", "text": "t", "score": True}]}, "True.*finite"),
        ({"query_id": 1.5, "query": "q", "documents": ["a"]}, "id is 1.5"),
        ({"query": "q", "documents": [{"id": ["a"], "text": "t"}]}, r"id is \['a'\]"),
        ([1], "query_id"),
    ],
)
def test_a_row_of_another_form_is_told_with_its_place(
    capsys: Capture, tiny_folder: Path, tmp_path: Path, row: Any, said: str
) -> None:
    asked = write_jsonl(tmp_path / "asked.jsonl", [row])
    code, _, err = called(capsys, tiny_folder, "--requests", asked, "--json")
    assert code == 1
    assert f"{asked}:1" in err
    assert re.search(said, err)


def test_half_characters_in_texts_are_ranked_and_written_with_a_mark(
    capsys: Capture, tiny_folder: Path, tmp_path: Path
) -> None:
    documents = [{"id": "a", "text": "half \udfff"}, {"id": "b", "text": "whole"}]
    asked = write_jsonl(tmp_path / "asked.jsonl", [{"query": "half \ud800", "documents": documents}])
    out = tmp_path / "out.jsonl"
    assert main(["rerank", str(tiny_folder), "--requests", str(asked), "--rank-llm", str(out)]) == 0
    capsys.readouterr().out.encode()
    (row,) = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert row["query"]["text"] == "half \ufffd"
    assert {item["doc"]["text"] for item in row["candidates"]} == {"half \ufffd", "whole"}


def test_a_query_that_stands_twice_is_refused(capsys: Capture, tiny_folder: Path, tmp_path: Path) -> None:
    asked = write_jsonl(tmp_path / "asked.jsonl", [request("q1"), request("q1")])
    main(["rerank", str(tiny_folder), "--requests", str(asked), "--json"])
    assert re.search(f"{asked}:2: .*'q1'", capsys.readouterr().err)


def test_instructions_come_with_requests_or_for_all(
    capsys: Capture, tiny_adapter: Path, requests: Path, tmp_path: Path
) -> None:
    texts = ["Cite statutes.", None, ""]
    rows = [{**request(f"q{number}"), "instruction": text} for number, text in enumerate(texts)]
    write_jsonl(requests, rows)

    def scores(*more: object) -> list[list[float]]:
        code, printed, _ = called(capsys, tiny_adapter, "--requests", requests, "--json", *more)
        assert code == 0
        return [[item["score"] for item in row["ranking"]] for row in printed]

    own, other, again = scores(), scores("--instruction", "Cite cases."), scores("--instruction", "Cite statutes.")
    assert [one == two for one, two in zip(own, other, strict=True)] == [True, False, True]
    assert other[1] != again[1]
    write_jsonl(requests, [{**row, "instruction": None} for row in rows])
    assert scores("--instruction", "Cite statutes.")[:2] == again[:2]
    write_jsonl(requests, [{**request("q0"), "instruction": 3}])
    assert "instruction: 3 is no text" in called(capsys, tiny_adapter, "--requests", requests)[2]
    code, _, err = called(capsys, tiny_adapter, "--requests", requests, "--instruction", " ")
    assert (code, "--instruction is empty" in err) == (1, True)


def test_a_killed_command_goes_on_where_it_was(
    capsys: Capture, tiny_adapter: Path, requests: Path, tmp_path: Path
) -> None:
    write_jsonl(requests, [request(f"q{number}", documents=12) for number in range(60)])
    whole = tmp_path / "whole.jsonl"
    options = ["--explain", "3", "--max-reasoning-tokens", "40", "--json"]
    assert called(capsys, tiny_adapter, "--requests", requests, *options, "--jsonl", whole)[0] == 0
    out, ledger = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.partial.jsonl"
    line = [sys.executable, "-m", "interank.cli.app", "rerank", str(tiny_adapter), "--requests", str(requests)]
    with forked([*line, *options, "--jsonl", str(out)]):
        until = time.monotonic() + 240
        while not (ledger.exists() and ledger.read_bytes().count(b"\n") >= 2) and time.monotonic() < until:
            time.sleep(0.01)
    kept = ledger.read_bytes()
    done = kept.count(b"\n")
    assert 2 <= done < 60
    assert not out.exists()
    # As a kill in the middle of a write leaves it.
    ledger.write_bytes(kept + b'{"key": "half')
    code, _, err = called(capsys, tiny_adapter, "--requests", requests, *options, "--jsonl", out)
    assert code == 0
    assert f"{done} queries were ranked" in err
    assert out.read_bytes() == whole.read_bytes()
    assert not ledger.exists()


def test_what_was_kept_of_another_question_is_not_taken(
    capsys: Capture, tiny_adapter: Path, requests: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    ledger = tmp_path / ".out.jsonl.partial.jsonl"
    ledger.write_text(json.dumps({"key": "of another", "query_id": "q0", "ranking": []}) + "\n")
    _, rows, err = called(capsys, tiny_adapter, "--requests", requests, "--json", "--jsonl", out)
    assert [len(row["ranking"]) for row in rows] == [5] * 6
    assert "earlier try" not in err
