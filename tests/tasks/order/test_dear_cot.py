"""DeAR-COT's layout: every form a row comes in, and what is wrong with the rows that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.tasks.order.dear_cot import read_dear_cot

PASSAGES = ("Owls hunt at night.", "Coffee is a drink.\n\nIt has caffeine.", "An owl's eyes are large.")
OUTPUT = (
    "Step 1. The query needs 2 things.\nStep 2. [1] has one, [3] the other.\n\n### Final Reranking: [3] > [1] > [2]"
)


def instruction(passages: tuple[str, ...] = PASSAGES, query: str = "why do owls see well at night?") -> str:
    listed = "\n".join(f"[{number}] {text}" for number, text in enumerate(passages, start=1))
    return (
        f"I will provide you with {len(passages)} passages, each indicated by number identifier [].\n"
        f"Rank the passages based on their relevance to query: {query}.\n\n{listed}\n\nSearch Query: {query}.\n"
        "Rank the passages above based on their relevance. Output format strictly: [2] > [1] > [3] ..."
    )


def row(**changed: Any) -> dict[str, Any]:
    return {
        "system": "You are RankLLM.",
        "instruction": instruction(),
        "input": "",
        "output": OUTPUT,
        "history": [],
        "think": "",
    } | changed


def written(folder: Path, *rows: Any, form: str = "jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    if form == "jsonl":
        (folder / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    elif form == "json":
        (folder / "train.json").write_text(json.dumps(list(rows), indent=2), "utf-8")
    elif form == "json lines":
        (folder / "train.json").write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    else:
        (folder / "data").mkdir()
        table = pyarrow.Table.from_pylist([{**one, "history": None} for one in rows])
        pyarrow.parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("A card, which is no row.", "utf-8")
    return folder


@pytest.mark.parametrize("form", ["jsonl", "json", "json lines", "parquet"])
def test_every_form_of_the_files_gives_the_same_lists(tmp_path: Path, form: str) -> None:
    examples, unusable = read_dear_cot(written(tmp_path / "hub", row(), form=form))
    assert not unusable
    (example,) = examples
    assert example.query.text == "why do owls see well at night?"
    assert tuple(document.text for document in example.documents) == PASSAGES
    assert example.ordering.positions == (2, 0, 1)
    assert example.ordering.reasoning.startswith("Step 1.")
    assert "Reranking" not in example.ordering.reasoning
    assert example.split == "train"


def test_the_same_query_and_passage_have_the_same_ids_in_every_row(tmp_path: Path) -> None:
    turned = row(instruction=instruction(PASSAGES[::-1]))
    (one, other), _ = read_dear_cot(written(tmp_path / "hub", row(), turned))
    assert one.query == other.query
    assert {item.doc_id for item in one.documents} == {item.doc_id for item in other.documents}


def test_passages_in_one_line_are_told_apart(tmp_path: Path) -> None:
    listed = " ".join(f"[{number}] {text}" for number, text in enumerate(("One.", "Two.", "Three."), start=1))
    inline = f"Rank 3 passages for the search query: why?\n{listed} Rank the passages: [2] > [1] > [3] > [4] ..."
    (example,), _ = read_dear_cot(written(tmp_path / "hub", row(instruction=inline)))
    assert [document.text for document in example.documents] == ["One.", "Two.", "Three."]
    assert example.query.text == "why?"


def test_a_reference_within_a_passage_is_no_passage(tmp_path: Path) -> None:
    passages = ("Owls see [2] well, as shown in [3].", "See [1] there.", "[12] is a year.")
    (example,), _ = read_dear_cot(written(tmp_path / "hub", row(instruction=instruction(passages))))
    assert tuple(document.text for document in example.documents) == passages


@pytest.mark.parametrize(
    ("output", "think", "expected"),
    [
        ("[1] > [2] > [3]", "<think>\nOwls need [3].\n</think>", "Owls need [3]."),
        ("<think>Owls need [3].</think>[1] > [2] > [3]", "Owls  need [3].", "Owls need [3]."),
        ("Because.\n\n[1] > [2] > [3]", "Long. Because. Yes.", "Long. Because. Yes."),
        ("Because.\n\n[1] > [2] > [3]", "Something else.", "Something else.\n\nBecause."),
        # The thought's own ranking is not the answer.
        ("[1] > [2] > [3]", "I think so.\nRanking: [3] > [2] > [1]", "I think so."),
    ],
)
def test_the_thought_is_part_of_the_reasoning_once(tmp_path: Path, output: str, think: str, expected: str) -> None:
    (example,), _ = read_dear_cot(written(tmp_path / "hub", row(output=output, think=think)))
    assert example.ordering.positions == (0, 1, 2)
    assert example.ordering.reasoning == expected


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"output": "Step 1. Step 2. Nothing follows."}, "ends in no ranking"),
        ({"output": "[1] > [2]"}, "each of 3 passages once"),
        ({"output": "[1] > [2] > [2] > [3]"}, "each of 3 passages once"),
        ({"output": "[0] > [1] > [2]"}, "each of 3 passages once"),
        ({"output": "[2] > [1] > [3] > [4]"}, "each of 3 passages once"),
        ({"output": ""}, "output is empty"),
        ({"instruction": "Search Query: why?\nNo passages."}, "fewer than two passages"),
        ({"instruction": "Some list.\n[1] One.\n[2] Two.\n[3] Three."}, "names no query"),
        ({"instruction": instruction(("One.", "One.", "Two."))}, "passage is repeated"),
        ({"instruction": instruction(("One.", "", "Two."))}, "a passage is empty"),
    ],
)
def test_a_row_that_gives_no_list_says_why(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    examples, (unusable,) = read_dear_cot(written(tmp_path / "hub", row(**changed), row()))
    assert len(examples) == 1
    assert reason in unusable.reason
    assert unusable.where.endswith("train.jsonl:1")


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 1 row .*ends in no ranking"):
        read_dear_cot(written(tmp_path / "hub", row(output="No.")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.jsonl"):
        read_dear_cot(tmp_path / "empty")
