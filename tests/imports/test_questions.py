"""Questions are read from the tables that people have, and the first row that cannot be is told with a right one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.imports.questions import Questions, read_questions
from interank.tables import Table

FLAT = """\
Ticket No,Subject,Description,Reply,Accepted,Votes,Labels
T-1,Login fails,"Since today, no login",Reset your password,False,3.0,<login><web>
T-1,Login fails,"Since today, no login",[SOLVED] Clear the cookies,True,,<login><web>
T-2,No mail,I get none,Look in spam,,,
"""


def read(path: Path, content: str | list[dict[str, Any]], **told: str) -> Questions:
    text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(text)
    return read_questions([Table(path)], told)


def answers(questions: Questions) -> list[tuple[str, list[tuple[str, str, int, bool]]]]:
    return [
        (row["question_id"], [(a["answer_id"], a["body"], a["score"], a["accepted"]) for a in row["answers"]])
        for row in questions.rows
    ]


def test_a_row_an_answer(tmp_path: Path) -> None:
    found = read(tmp_path / "t.csv", FLAT)
    assert answers(found) == [
        (
            "T-1",
            [("T-1#1", "Reset your password", 3, False), ("T-1#2", "[SOLVED] Clear the cookies", 0, True)],
        ),
        ("T-2", [("T-2#1", "Look in spam", 0, None)]),
    ]
    first = found.rows[0]
    assert (first["title"], first["body"], first["tags"]) == ("Login fails", "Since today, no login", ["login", "web"])
    assert not found.markup
    counts = found.counts
    assert (counts["rows"], counts["questions"], counts["answers"], counts["accepted"], counts["voted"]) == (
        3,
        2,
        3,
        1,
        1,
    )


def test_a_row_a_question_with_its_answers_in_it(tmp_path: Path) -> None:
    rows = [
        {
            "id": "q1",
            "question": "<p>why</p>",
            "score": 4,
            "answers": [{"id": "a1", "text": "so", "votes": 2}, {"id": "a2", "text": "thus", "selected": "yes"}],
        }
    ]
    found = read(tmp_path / "t.jsonl", rows)
    assert answers(found) == [("q1", [("a1", "so", 2, None), ("a2", "thus", 0, True)])]
    assert found.rows[0]["score"] == 4
    assert found.markup
    assert found.columns.of["answer_body"] == "answers[].text"


@pytest.mark.parametrize(
    "given",
    [["one", "two"], '["one", "two"]', {"text": ["one", "two"]}, [{"text": "one"}, {"text": "two"}]],
)
def test_answers_in_every_form(tmp_path: Path, given: object) -> None:
    found = read(tmp_path / "t.jsonl", [{"question": "why", "answers": given}, {"question": "how", "answers": given}])
    assert answers(found) == [
        ("1", [("1#1", "one", 0, None), ("1#2", "two", 0, None)]),
        ("2", [("2#1", "one", 0, None), ("2#2", "two", 0, None)]),
    ]


def test_one_answer_a_question_and_no_ids(tmp_path: Path) -> None:
    found = read(tmp_path / "t.tsv", "question\tanswer\nwhy\tso\nhow\tthus\nwhy\tbecause\n")
    assert answers(found) == [
        ("1", [("1#1", "so", 0, None), ("1#2", "because", 0, None)]),
        ("2", [("2#1", "thus", 0, None)]),
    ]


def test_a_title_alone_is_a_question(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", "subject,reply\nwhy,so\n").rows[0]["title"] == "why"


def test_the_accepted_answer_by_its_id(tmp_path: Path) -> None:
    rows = [
        {
            "id": 1,
            "question": "why",
            "accepted_answer_id": 12.0,
            "answers": [{"id": 11, "body": "a"}, {"id": 12, "body": "b"}],
        }
    ]
    assert [answer[3] for answer in answers(read(tmp_path / "t.jsonl", rows))[0][1]] == [None, True]


def test_answers_numbered_in_each_question_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"id": n, "question": f"why {n}", "answers": [{"id": 1, "body": "a"}, {"id": 2, "body": "b"}]} for n in (1, 2)
    ]
    found = read(tmp_path / "t.jsonl", rows)
    assert [name for _, given in answers(found) for name, *_ in given] == ["1#1", "1#2", "2#1", "2#2"]
    assert found.prefixed


def test_what_has_no_text_is_left_out_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path / "t.csv", "question,answer\n,so\nwhy,\nhow, \nwhen,now\n")
    assert [row["body"] for row in found.rows] == ["why", "how", "when"]
    assert (found.counts["empty_questions"], found.counts["unanswered"]) == (1, 2)


def test_columns_that_are_told(tmp_path: Path) -> None:
    content = "nr,frage,antwort,gut\n1,warum,darum,1\n"
    found = read(tmp_path / "t.csv", content, question_id="nr", body="frage", answers="antwort", accepted="gut")
    assert answers(found) == [("1", [("1#1", "darum", 0, True)])]
    assert found.columns.told == {"question_id", "body", "answers", "accepted"}
    assert not any(
        answer["accepted"]
        for row in read(
            tmp_path / "t.csv", content.replace("gut", "best"), body="frage", answers="antwort", accepted=""
        ).rows
        for answer in row["answers"]
    )


def test_all_faults_of_columns_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path / "t.csv", "nr,frage,antwort\n1,a,b\n", bdy="frage", title="frge")
    told = str(error.value)
    assert "its columns, nr, frage, antwort, cannot be read as asked:" in told
    assert "there is no bdy to map; roles are question_id, title," in told
    assert "do you mean body?" in told
    assert "--map title=frge: there is no column 'frge'; do you mean 'frage'?" in told
    assert "no column for answers (the answers, a list or one text); name it with --map answers=COLUMN" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("T-3,a,b,c,perhaps,,", "Accepted: 'perhaps' is neither true nor false (yes or no, 1 or 0)"),
        ("T-3,a,b,c,,1.5,", "Votes: '1.5' is no whole number"),
        ("T-3,a,b", "the line has 3 fields, and the first line names 7"),
        ("T-1,a,b,c,,,", "an earlier row has the question 'T-1' with another text, and an id has one text"),
    ],
)
def test_the_first_faulty_row_is_told_with_a_right_one(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path / "t.csv", f"{FLAT}{line}\n{line}\n")
    assert str(error.value).startswith(f"{tmp_path / 't.csv'}:5: {told}; mend or remove the row")
    assert 'a correct row was read as {"question_id": "T-1", "title": "Login fails"' in str(error.value)


def test_a_fault_in_the_first_row_shows_an_example(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.jsonl:1: answers: 3 is no list"):
        read(tmp_path / "t.jsonl", [{"question": "why", "answers": 3}])
    with pytest.raises(InputError, match=r'a correct row is \{"question_id": "T-1"'):
        read(tmp_path / "t.jsonl", [{"question": "why", "answers": [4]}])


def test_a_table_without_questions_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        read(tmp_path / "t.jsonl", "")
    with pytest.raises(InputError, match="has no row with a question's text"):
        read(tmp_path / "t.csv", "question,answer\n,a\n")


def test_what_is_said_not_to_be_accepted_is_told_from_what_is_not_said(tmp_path: Path) -> None:
    said = read(tmp_path / "t.csv", "question,answer,accepted,votes\nwhy,so,no,\nhow,thus,n/a,\nwho,he,no,3\n")
    assert [answer[3] for _, found in answers(said) for answer in found] == [False, None, False]
    assert said.counts["declined_questions"] == 1


def test_a_role_is_known_by_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = "No,Title,What,Said\n7,Login,It fails,Reset it\n"
    found = read(tmp_path / "t.csv", rows, id="No", reply="Said", body="Title+What", title="")
    assert (found.rows[0]["question_id"], found.rows[0]["body"]) == ("7", "Login\nIt fails")
    assert answers(found) == [("7", [("7#1", "Reset it", 0, None)])]
