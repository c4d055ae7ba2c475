"""A teacher's scores belong to pairs and their texts: what DeAR mixes up is refused."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from interank import judging
from interank.errors import InputError
from interank.judgments import JudgedList
from interank.ledger import write_rows
from interank.tasks.head.groups import (
    ScoredPair,
    TeacherScores,
    digest,
    drawn,
    judgments_scores,
    read_teacher_scores,
)
from interank.types import Document, Query
from tests.support import rule

POOL = JudgedList(
    Query("q", "which one?"), tuple(Document(str(n), f"the text of {n}") for n in range(12)), (2, *[0] * 11)
)


def true_score(document: Document) -> float:
    """What the teacher of these tests thinks, so that each score tells whose it is."""
    return float(document.doc_id) / 10


def scores_of(group: JudgedList) -> list[ScoredPair]:
    return [
        ScoredPair(group.query.query_id, document.doc_id, true_score(document), digest(group.query, document))
        for document in group.documents
    ]


def test_each_document_of_a_group_gets_its_own_score() -> None:
    (group,) = drawn(POOL, 5, 1, seed=3)
    teacher = TeacherScores(reversed(scores_of(group)), "teacher")
    assert teacher.of(group) == tuple(true_score(document) for document in group.documents)


def test_scores_of_negatives_that_were_drawn_apart_are_refused() -> None:
    """DeAR draws the teacher's negatives with a second call of random.sample and compares by place."""
    rng = random.Random(1)
    negatives = POOL.documents[1:]
    students, teachers = ((POOL.documents[0], *rng.sample(negatives, 4)) for _ in range(2))
    student, teacher = (JudgedList(POOL.query, documents, (2, 0, 0, 0, 0)) for documents in (students, teachers))
    by_place = [item.score for item in scores_of(teacher)]
    assert by_place != [true_score(document) for document in student.documents]
    with pytest.raises(InputError, match=r"document '\d+' for query 'q'"):
        TeacherScores(scores_of(teacher), "teacher").of(student)


def test_scores_of_other_texts_under_the_same_ids_are_refused() -> None:
    (group,) = drawn(POOL, 3, 1, seed=3)
    other = JudgedList(
        group.query, tuple(Document(d.doc_id, f"{d.text}, changed") for d in group.documents), group.grades
    )
    with pytest.raises(InputError, match=r"other texts .*query 'q'"):
        TeacherScores(scores_of(other), "teacher").of(group)


def test_a_file_is_read_back_and_a_run_is_taken_too(tmp_path: Path) -> None:
    (group,) = drawn(POOL, 4, 1, seed=3)
    write_rows(tmp_path / "t.jsonl", (item.as_row() for item in scores_of(group)))
    wanted = tuple(true_score(document) for document in group.documents)
    assert read_teacher_scores(tmp_path / "t.jsonl").of(group) == wanted
    lines = (f"q Q0 {d.doc_id} 1 {true_score(d)} x\n" for d in group.documents)
    (tmp_path / "run.trec").write_text("".join(lines))
    assert read_teacher_scores(tmp_path / "run.trec").of(group) == wanted


@pytest.mark.parametrize("score", ["NaN", '"high"', "true", "null", "1e999", "9" * 400])
def test_a_score_that_is_no_number_is_told_with_its_place(tmp_path: Path, score: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"query_id": "q", "doc_id": "d", "score": {score}}}\n')
    with pytest.raises(InputError, match=r"t\.jsonl:1: .*finite"):
        read_teacher_scores(tmp_path / "t.jsonl")


def test_the_scores_of_labels_are_taken_before_probabilities() -> None:
    items = [replace(item, score=number / 4) for number, item in enumerate(rule.examples(0, queries=1, documents=4))]
    group = JudgedList.of(items)
    assert judgments_scores(items, "labels", labelled=True).of(group) == (0.0, 0.25, 0.5, 0.75)
    with pytest.raises(InputError, match=r"labels holds scores, and none for query .*leave out what has none"):
        judgments_scores([*items[1:], replace(items[0], score=None)], "labels", labelled=True)


def test_judgments_probabilities_are_scores_as_a_reranker_has_them() -> None:
    from dataclasses import replace

    examples = rule.examples(0, queries=1, documents=3)
    told = [(0.7, 0.2, 0.1), (0.0, 0.0, 1.0), (0.2, 0.5, 0.3)]
    graded = [replace(item, probabilities=p) for item, p in zip(examples, told, strict=True)]
    group = JudgedList(
        graded[0].query, tuple(item.document for item in graded), tuple(int(i.judgment.relevance) for i in graded)
    )
    found = judgments_scores(graded, "judgments", labelled=False).of(group)
    assert found[0] == pytest.approx(judging.score([math.log(p) for p in told[0]]))
    assert math.isfinite(found[1])
    assert found[0] < found[2] < found[1]
    with pytest.raises(InputError, match=r"no probabilities for query "):
        judgments_scores(examples, "judgments", labelled=False)
