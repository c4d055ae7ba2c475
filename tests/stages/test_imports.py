"""What is imported is taken by the stages, and the command says what it read."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError
from interank.imports import clicks, pairs, questions, texts, triples
from interank.judgments import read_judgments
from interank.pairs import read_pairs
from interank.tables.columns import Role

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
    return captured.out + captured.err


def test_questions_are_a_source_of_generate(tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "questions"
    hints = told(capsys, tickets, "--as", "questions", "--out", out)
    assert f"interank split {out} --out" in hints
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
    mined = list(read_pairs(tmp_path / "pairs"))
    best = {pair.query.query_id: pair.document.doc_id for pair in mined if pair.origin == "accepted_answer"}
    # Of every second ticket the table says that the reply was not accepted.
    assert best == {f"tickets/T-{n}": f"tickets/T-{n}#1" for n in (1, 3, 5, 7)}
    assert {pair.query.query_id for pair in mined} == best.keys()
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
    assert "tickets.csv:10: accepted: 'perhaps' is neither true" in told(
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
    hints = told(capsys, tmp_path / "labels.csv", "--as", "pairs", "--out", out)
    assert f"interank distill distill/smollm2 judgments={out} --out" in hints
    assert "trainer.max_steps=" in hints
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
        ("--grades=0.7,0.3", "two numbers are expected, the lower first"),
        ("--grades=a", "numbers with commas between them"),
        ("--propensities=1,0", "probabilities above 0 and at most 1"),
        ("--clip=0.5", "a number of at least 1"),
        ("--negatives=-1", "a whole number of at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tickets: Path, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    with pytest.raises(SystemExit):
        main(["import", str(tickets), "--as", "scores", "--dry-run", given])
    assert said in capsys.readouterr().err


def test_the_command_that_an_import_proposes_runs(
    tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets.write_text(QUESTIONS.replace("with care", "with care by somebody who knows how"))
    monkeypatch.chdir(tmp_path)
    hints = told(capsys, tickets, "--as", "questions", "--out", "questions")
    [command] = re.findall(r"next: interank (generate .* --out runs/\S+)", hints)
    (tmp_path / "runs").mkdir()
    assert main(shlex.split(command)) == 0
    assert {item.judgment.relevance for item in read_judgments(tmp_path / "runs" / "votes")} == {0, 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", "questions", "--map", "body=question", "TABLE"], "put tables before it"),
        (["TABLE", "--as", "questions", "--map", "body=Customer", "Message"], "quote a column's name that has blanks"),
        (["TABLE", "--as", "pairs", "--map", "query=question", "corpus=c.jsonl"], "put it before --map"),
    ],
)
def test_a_word_that_map_takes_and_that_is_no_column_is_told(
    tickets: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit):
        main(["import", *(str(tickets) if word == "TABLE" else word for word in words), "--dry-run"])
    assert said in capsys.readouterr().err


def test_all_files_that_cannot_be_read_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clicks.csv").write_text("")
    (tmp_path / "pages.jsonl").write_text("{}")
    parts = [f"corpus={tmp_path / 'page.jsonl'}", f"queries={tmp_path}"]
    said = told(capsys, tmp_path / "click.csv", *parts, "--as", "clicks", "--dry-run", code=1)
    assert f"(did you mean {tmp_path / 'clicks.csv'}?)" in said
    assert f"(did you mean {tmp_path / 'pages.jsonl'}?)" in said
    assert f"queries: {tmp_path} is a folder" in said
    assert "clicks.csv is empty" in told(capsys, tmp_path / "clicks.csv", "--as", "clicks", "--dry-run", code=1)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    assert "save it as CSV" in told(capsys, tmp_path / "t.xlsx", "--as", "pairs", "--dry-run", code=1)


def test_an_output_of_another_kind_is_told_with_what_makes_the_right_one(
    tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "questions"
    told(capsys, tickets, "--as", "questions", "--out", out)
    for given, said in ((out, f"interank generate RECIPE dumps={out}"), (tickets, f"interank import {tickets} --as")):
        assert main(["distill", "distill/smollm2", f"judgments={given}", "--out", str(tmp_path / "student")]) == 1
        assert said in capsys.readouterr().err
    with pytest.raises(ArtifactError, match=r"did you mean .*questions\?"):
        open_artifact(tmp_path / "question", "questions")


def test_the_documents_list_every_role() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    roles = {
        role.name
        for module in (clicks, pairs, questions, texts, triples)
        for found in vars(module).values()
        for role in (found if isinstance(found, tuple) and not isinstance(found, Role) else [found])
        if isinstance(role, Role)
    }
    assert {"query", "shown", "label", "answer_body", "negative"} < roles
    assert not [name for name in sorted(roles) if f"| `{name}` |" not in text]
