"""orderings.jsonl: what is written is read back, and a wrong line is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.judgments import by_question, write_judgments
from interank.tasks.judged_lists import judged_lists
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.orderings import FILE, Orderings, write_orderings
from interank.types import Split
from tests.support import rule


def lists(split: Split = "train") -> list[ListExample]:
    judged = judged_lists(by_question(rule.examples(3, queries=2, documents=4, split=split)), documents=4, seed=0)
    return [
        ListExample(item.query, item.documents, Ordering((2, 0, 3, 1), "[3] helps, é and all."), split)
        for item in judged
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    examples = [
        item for split in ("train", "validation") for item in rule.examples(3, queries=2, documents=4, split=split)
    ]
    write_judgments(examples, tmp_path)
    write_orderings([(item, 0.9) for item in [*lists(), *lists("validation")]], tmp_path)
    return tmp_path


def test_what_is_written_is_read_back(folder: Path) -> None:
    assert list(Orderings(folder)) == [*lists(), *lists("validation")]
    assert list(Orderings(folder, "validation")) == lists("validation")


def test_lists_in_another_order_than_the_judgments_are_read_too(folder: Path) -> None:
    given = [*lists("validation"), *reversed(lists())]
    write_orderings([(item, 0.9) for item in given], folder)
    found = Orderings(folder)
    assert list(found) == list(found) == given


def test_the_judgments_of_one_list_are_held_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One question has no list, and one has two.
    given = [*lists()[1:], *lists("validation"), lists("validation")[-1]]
    write_orderings([(item, 0.9) for item in given], folder)
    monkeypatch.delattr(Orderings, "_all")
    assert list(Orderings(folder)) == given


def test_texts_stand_in_the_judgments_alone(folder: Path) -> None:
    assert lists()[0].documents[0].text not in (folder / FILE).read_text("utf-8")


@pytest.mark.parametrize(
    "change",
    [
        {"ranking": ["train3-0-0", "train3-0-1"]},
        {"ranking": ["train3-0-0"] * 4},
        {"doc_ids": ["nobody"], "ranking": ["nobody"]},
        {"split": "test"},
        {"reasoning": None, "doc_ids": None},
    ],
)
def test_a_wrong_line_is_told(folder: Path, change: dict[str, object]) -> None:
    rows = [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]
    rows[1] |= change
    (folder / FILE).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(InputError, match=r"orderings\.jsonl:2: "):
        list(Orderings(folder))


def test_judgments_without_lists_say_how_to_get_some(folder: Path) -> None:
    (folder / FILE).unlink()
    with pytest.raises(InputError, match=r"teacher\.orderings"):
        Orderings(folder)
