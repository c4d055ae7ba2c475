"""What is imported is taken by the stages, and the command says what it read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.judgments import read_judgments, read_pairs

QUESTIONS = "ticket,question,reply,accepted\n" + "".join(
    f"T-{n},why does topic{n} fail,topic{n} needs part{n} to be replaced with care,{bool(n % 2)}\n" for n in range(1, 9)
)


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    (tmp_path / "tickets.csv").write_text(QUESTIONS)
    return tmp_path / "tickets.csv"


def told(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["import", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_questions_are_a_source_of_generate(tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "questions"
    assert f"interank generate RECIPE dumps={out} --out" in told(capsys, tickets, "--as", "questions", "--out", out)
    artifact = open_artifact(out, "questions")
    assert artifact.manifest["counts"]["questions"] == 8
    assert artifact.manifest["site"] == "tickets"
    assert artifact.manifest["columns"]["text"] == "plain"
    assert artifact.manifest["inputs"]["tables.0"]["path"] == "../tickets.csv"
    card = (out / "README.md").read_text()
    assert "Licences of the texts: not told (16)." in card
    assert "license:" not in card
    arguments = ["generate", "generate/smollm2", f"dumps={out}", "decontaminate=false", "mining.min_document_words=1"]
    assert main([*arguments, "--mine-only", "--out", str(tmp_path / "pairs")]) == 0
    pairs = read_pairs(tmp_path / "pairs" / "pairs.jsonl")
    best = {pair.query.query_id: pair.document.doc_id for pair in pairs if pair.origin == "accepted_answer"}
    # Of every second ticket the table says that the reply was not accepted.
    assert best == {f"tickets/T-{n}": f"tickets/T-{n}#1" for n in (1, 3, 5, 7)}
    assert {pair.query.query_id for pair in pairs} == best.keys()
    assert open_artifact(tmp_path / "pairs").lineage()[0]["kind"] == "questions"


def test_a_reply_that_did_not_help_gets_no_good_grade(
    tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = told(capsys, tickets, "--as", "questions", "--dry-run")
    assert "4 declined questions" in dry
    assert "--map accepted=" in dry
    told(capsys, tickets, "--as", "questions", "--out", tmp_path / "questions")
    votes = ["teacher.grades=votes", "teacher.max_reasoning_tokens=0", "mining.min_document_words=1"]
    generate = ["generate", "generate/smollm2", f"dumps={tmp_path / 'questions'}", "decontaminate=false", *votes]
    assert main([*generate, "--out", str(tmp_path / "votes")]) == 0
    graded = {
        (item.query.query_id, item.document.doc_id): item.judgment.relevance
        for item in read_judgments(tmp_path / "votes")
    }
    assert {pair for pair, grade in graded.items() if grade == 2} == {
        (f"tickets/T-{n}", f"tickets/T-{n}#1") for n in (1, 3, 5, 7)
    }
    assert not [pair for pair in graded if pair[0] in {f"tickets/T-{n}" for n in (2, 4, 6, 8)}]


def test_a_dry_run_shows_columns_and_a_row_and_writes_nothing(
    tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(capsys, tickets, "--as", "questions", "--dry-run", "--map", "accepted=")
    assert "ticket  guessed" in out
    assert '"question_id": "T-1"' in out
    assert "not used: accepted" in out
    assert "8 questions" in out
    assert "Nothing was written." in out
    shown = json.loads(told(capsys, tickets, "--as", "questions", "--dry-run", "--json"))
    assert shown["columns"]["tickets.csv"]["columns"]["answers"] == "reply"
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.csv"]


def test_what_cannot_be_imported_is_a_sentence(
    tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "does not exist" in told(capsys, tmp_path / "missing.csv", "--as", "questions", "--out", out, code=1)
    assert "is a folder, where a table is needed" in told(capsys, tmp_path, "--as", "questions", "--out", out, code=1)
    tickets.write_text(QUESTIONS + "T-9,why,so,perhaps\n")
    assert "tickets.csv:10: accepted: 'perhaps' says neither" in told(
        capsys, tickets, "--as", "questions", "--out", out, code=1
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tickets.csv"], "a failure left something"


def test_an_output_is_not_replaced_unasked(tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (tickets, "--as", "questions", "--out", tmp_path / "out")
    told(capsys, *arguments)
    assert "exists; --resume goes on with it" in told(capsys, *arguments, code=1)
    told(capsys, *arguments, "--overwrite")


def test_labels_are_judgments_without_a_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "query,document,label,url,licence\n" + "".join(
        f"why {n},because {n} and {m},{int(m == 1)},https://a.org/{n},MIT\n" for n in range(3) for m in range(2)
    )
    (tmp_path / "labels.csv").write_text(rows)
    out = tmp_path / "labels"
    assert "or interank distill RECIPE judgments=" in told(
        capsys, tmp_path / "labels.csv", "--as", "pairs", "--out", out
    )
    manifest = open_artifact(out, "judgments").manifest
    assert manifest["grades"] == "pairs"
    assert "teacher" not in manifest
    assert manifest["labels"]["columns"]["labels.csv"]["label"] == "label"
    assert (
        manifest["labels"]["grades"] == "labels from 1 on are grade 2, lower ones grade 0 (by the scale of the labels)"
    )
    assert (manifest["counts"]["relevance_0"], manifest["counts"]["relevance_2"]) == (3, 3)
    assert {example.source.licence for example in read_judgments(out)} == {"MIT"}
    assert "Licences of the texts: MIT (6)." in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--grades=0.7,0.3", "two numbers, the lower first"),
        ("--grades=a", "no list of numbers parted by commas"),
        ("--propensities=1,0", "no probability above 0 and at most 1"),
        ("--clip=0.5", "no number of at least 1"),
        ("--negatives=-1", "no whole number from 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tickets: Path, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    with pytest.raises(SystemExit):
        main(["import", str(tickets), "--as", "scores", "--dry-run", given])
    assert said in capsys.readouterr().err
