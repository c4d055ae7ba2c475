"""`interank rerank --query`: all documents are ranked, tables are none, and who has no words is asked for none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from interank.cli.app import main
from interank.settings import LoraRecipe, PromptSettings
from interank.settings.student import MixtureRecipe
from interank.stages import distill
from interank.tasks.judge.ranker import GradeRanker
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.ranks import Ranking
from interank.types import Document, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import write_jsonl

Capture = pytest.CaptureFixture[str]

QUESTION = rule.query_text("red", "fox")


@pytest.fixture(scope="module")
def scorer(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that was taught grades alone."""
    folder = tmp_path_factory.mktemp("scorer")
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(folder / "taught", rule.examples(1, queries=2)),
        student=str(tiny_folder),
        prompt=PromptSettings(max_length=300, max_query_tokens=64, max_document_tokens=64),
        mixture=MixtureRecipe(score=1.0),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 1, "gradient_checkpointing": False, "save_strategy": "no"},
    )
    return distill.run(recipe, folder / "adapter").path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More documents than a first stage's candidates; the last of them says most of what is asked."""
    texts = [rule.document_text("blue", "cow", place) for place in rule.PLACES] * 40
    rows = [{"_id": f"d{number}", "text": f"{text} {number}"} for number, text in enumerate(texts[:107])]
    return write_jsonl(tmp_path / "many.jsonl", rows)


def ranked(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["rerank", *map(str, arguments)])
    return code, *capsys.readouterr()


def ids(printed: str) -> list[str]:
    (line,) = printed.splitlines()
    return [item["doc_id"] for item in json.loads(line)["ranking"]]


def test_documents_on_the_line_are_ranked_whole_and_the_best_are_told(
    capsys: Capture, scorer: Path, many: Path, tmp_path: Path
) -> None:
    code, whole, _ = ranked(capsys, scorer, "--query", QUESTION, many, "--json")
    assert code == 0
    assert sorted(ids(whole)) == sorted(f"d{number}" for number in range(107))
    rows, run = tmp_path / "rows.jsonl", tmp_path / "run.trec"
    files = ["--jsonl", rows, "--trec", run]
    best = ranked(capsys, scorer, "--query", QUESTION, many, "--json", "--top-k", "5", *files)[1]
    assert ids(best) == ids(whole)[:5]
    # Else the test would not tell the best from the first of the file.
    assert set(ids(best)) != {f"d{number}" for number in range(5)}
    assert ids(rows.read_text()) == ids(best)
    assert [line.split()[2] for line in run.read_text().splitlines()] == ids(best)


def test_a_request_has_a_first_stage_and_what_stands_behind_its_first_is_counted(
    capsys: Capture, scorer: Path, tmp_path: Path
) -> None:
    requests = [{"query_id": name, "query": QUESTION, "documents": ["a", "b", "c"]} for name in ("q", "r")]
    asked = write_jsonl(tmp_path / "asked.jsonl", requests)
    _, out, told = ranked(capsys, scorer, "--requests", asked, "--json", "--top-k", "2")
    assert [len(json.loads(line)["ranking"]) for line in out.splitlines()] == [2, 2]
    (said,) = re.findall(r"\b2 of 6\b.*", told)
    assert "--top-k" in said
    assert "--top-k" not in ranked(capsys, scorer, "--requests", asked, "--json")[2]


@pytest.mark.parametrize(
    "name", ["t.csv", "t.CSV", "t.tsv", "t.csv.gz", "t.json", "t.xlsx", "t.xls", "t.ods"], ids=lambda name: name
)
def test_a_table_is_no_document(capsys: Capture, tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    table.write_text("id,text\n1,A red fox.\n")
    code, out, told = ranked(capsys, tmp_path / "no-such-model", "--query", QUESTION, table)
    assert (code, out) == (1, "")
    assert re.search(f"{re.escape(str(table))}.*JSONL", told)
    assert "no-such-model" not in told


def test_rows_are_documents_whatever_their_file_is_called(capsys: Capture, scorer: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    write_jsonl(tmp_path / "a.ndjson", [{"_id": "a", "text": "A red fox."}])
    pyarrow.parquet.write_table(pyarrow.table({"_id": ["b"], "text": ["A cow."]}), tmp_path / "b.parquet")
    files = [tmp_path / "a.ndjson", tmp_path / "b.parquet"]
    assert sorted(ids(ranked(capsys, scorer, "--query", QUESTION, *files, "--json")[1])) == ["a", "b"]


def test_a_text_that_is_called_after_a_table_is_one(capsys: Capture, scorer: Path, tmp_path: Path) -> None:
    note = tmp_path / "of.table.csv.txt"
    note.write_text("A red fox.")
    assert ids(ranked(capsys, scorer, "--query", QUESTION, note, "--json")[1]) == [str(note)]


def test_the_end_of_the_last_line_is_not_part_of_the_text(capsys: Capture, scorer: Path, tmp_path: Path) -> None:
    for name, end in (("bare.txt", ""), ("line.txt", "\n"), ("windows.txt", "\r\n")):
        (tmp_path / name).write_bytes(f"A red fox.{end}".encode())
    printed = ranked(capsys, scorer, "--query", QUESTION, *sorted(tmp_path.glob("*.txt")), "--json")[1]
    scores = [item["score"] for item in json.loads(printed)["ranking"]]
    assert len(scores) == 3 and max(scores) == pytest.approx(min(scores), abs=1e-6)


def test_rows_that_are_none_are_told(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    code, _, told = ranked(capsys, tmp_path / "no-such-model", "--query", QUESTION, tmp_path / "none.jsonl")
    assert code == 1
    assert re.search("none.jsonl.*empty", told)


@pytest.mark.parametrize("inner", [False, True], ids=["artifact", "PEFT's folder"])
def test_who_was_taught_grades_alone_explains_nothing_unless_told_to(
    capsys: Capture, scorer: Path, tmp_path: Path, inner: bool
) -> None:
    model = scorer / "adapter" if inner else scorer
    document = write_jsonl(tmp_path / "d.jsonl", [{"_id": "a", "text": "A red fox."}])
    asked = [model, "--query", QUESTION, document]
    code, out, told = ranked(capsys, *asked)
    assert (code, "why:" in out) == (0, False)
    assert len(re.findall("^.*explanations.*$", told, re.MULTILINE)) == 1
    # What comes next is nothing that this model refuses.
    assert "--mode reason" not in told
    assert ranked(capsys, *asked, "--explain", "0")[0] == 0
    code, out, told = ranked(capsys, *asked, "--explain", "2")
    assert (code, out) == (1, "")
    assert re.search("--explain 2.*--explain 0", told)


def test_who_was_taught_to_explain_is_said_to_reason(capsys: Capture, tiny_adapter: Path, tmp_path: Path) -> None:
    document = write_jsonl(tmp_path / "d.jsonl", [{"_id": "a", "text": "A red fox."}])
    options = ["--query", QUESTION, document, "--max-reasoning-tokens", "3"]
    assert "--mode reason" in ranked(capsys, tiny_adapter, *options)[2]
    assert "--mode reason" not in ranked(capsys, tiny_adapter, *options, "--mode", "reason")[2]


@pytest.mark.parametrize("explain", [[], ["--explain", "1"]])
def test_what_is_left_out_is_not_explained(
    capsys: Capture, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explain: list[str]
) -> None:
    texts = [rule.document_text(colour, "fox", place) for colour in ("red", "blue") for place in rule.PLACES[:2]]
    rows = [{"_id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    asked = [tiny_adapter, "--query", QUESTION, write_jsonl(tmp_path / "d.jsonl", rows), "--max-reasoning-tokens", "3"]
    asked += ["--json", *explain]
    every = json.loads(ranked(capsys, *asked)[1])["ranking"]
    seen: list[list[str]] = []
    explained = GradeRanker.explained

    def watched(
        self: GradeRanker, query: Query, documents: Sequence[Document], ranking: Ranking, count: int
    ) -> Ranking:
        seen.append([item.doc_id for item in ranking])
        return explained(self, query, documents, ranking, count)

    monkeypatch.setattr(GradeRanker, "explained", watched)
    least = ["--min-score", str((every[1]["score"] + every[2]["score"]) / 2)]
    kept = json.loads(ranked(capsys, *asked, *least)[1])["ranking"]
    assert kept == every[:2]
    assert sum(item["explanation"] is not None for item in kept) == (1 if explain else 2)
    assert seen == [[item["doc_id"] for item in kept]]
    seen.clear()
    assert json.loads(ranked(capsys, *asked, "--min-score", "99")[1])["ranking"] == []
    assert seen in ([], [[]])
