"""Judgments are gone through a question at a time, and give what they give when they are all held."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank import judged_questions
from interank.errors import InputError
from interank.judged_questions import JudgedQuestions
from interank.judgments import FILE, by_question, evenly_weighted, read_judgments, write_judgments
from interank.types import Example
from tests.test_judgments import written


@pytest.mark.parametrize("apart", [False, True])
def test_each_question_comes_with_all_that_it_has(tmp_path: Path, apart: bool) -> None:
    given = written()
    first, *rest = given
    write_judgments([*rest, first] if apart else given, tmp_path)
    for split in ("train", "validation"):
        questions = JudgedQuestions(tmp_path, split)
        assert list(questions) == list(questions) == by_question(read_judgments(tmp_path, split))
        assert questions.summary.question_sizes.total() == len(list(questions))


def test_one_question_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judgments(written(), tmp_path)
    held = []

    def all_of_them(items: object) -> list[list[Example]]:
        held.append(items)
        return []

    monkeypatch.setattr(judged_questions, "by_question", all_of_them)
    assert [len(items) for items in JudgedQuestions(tmp_path, "train")] == [4, 4]
    assert not held


def test_a_summary_counts_what_there_is(tmp_path: Path) -> None:
    labelled = [*written()[:6]]
    write_judgments(labelled, tmp_path)
    summary = JudgedQuestions(tmp_path, "train").summary
    assert summary.examples == sum(summary.grades.values()) == 6
    assert summary.question_sizes == {4: 1, 2: 1}
    assert summary.sites == {item.source.site for item in labelled}
    assert summary.licences == {item.source.licence for item in labelled}
    assert summary.unexplained == sum(not item.judgment.reasoning for item in labelled)
    assert [summary.weight(item.weight) for item in labelled] == [item.weight for item in evenly_weighted(labelled)]


def test_a_line_that_is_no_judgment_is_told(tmp_path: Path) -> None:
    write_judgments(written(), tmp_path)
    with (tmp_path / FILE).open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=f"{FILE}:10: not a judgment"):
        JudgedQuestions(tmp_path, "train").summary  # noqa: B018
