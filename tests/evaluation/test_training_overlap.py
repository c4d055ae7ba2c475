"""An adapter's training data is held against the benchmark as far as its lineage leads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from interank.artifact import Workplace, create, describe_input
from interank.evaluation.candidates import Task
from interank.evaluation.training_overlap import check_training_data
from interank.judgments import write_judgments
from interank.types import Document, Example, Query, Run
from tests.support import rule

WORDS = (
    "my sourdough loaf sinks in the middle after twenty minutes although the oven was hot and the dough had doubled "
    "twice so I wonder whether the crumb was simply not baked through or whether the flour is to blame for it"
)
PAGE = (
    "steam gathers in the crumb while a loaf cools down slowly on a wire rack and unless it can leave through the "
    "crust the middle stays wet heavy and sinks long after the bread was taken out of the oven by an impatient baker"
)


def task() -> Task:
    corpus = {"d1": Document("d1", PAGE), "d2": Document("d2", "Grass is green in spring.")}
    return Task("bread", [Query("q1", WORDS), Query("q2", "why is grass green")], [], Run({}, tag="t"), corpus)


def trained_on(folder: Path, examples: Sequence[Example]) -> Path:
    """An adapter whose lineage names these judgments."""
    data = folder / "judgments"
    place = create(data, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    place.finish(seed=1, counts={})
    out = folder / "adapter"
    place = create(out, "adapter", recipe={}, inputs={"judgments": describe_input(data, out)})
    assert isinstance(place, Workplace)
    return place.finish(seed=1, counts={}).path


def examples(*, query: str = "", document: str = "") -> list[Example]:
    """Judgments of other matters, of which the first may ask or say what the benchmark does."""
    first, *others = rule.examples(3, queries=4, documents=3, split="train")
    if query:
        first = replace(first, query=Query(first.query.query_id, query))
    if document:
        first = replace(first, document=Document("cooking/1", document))
    return [first, *others]


def test_training_data_of_other_matters_is_clean(tmp_path: Path) -> None:
    adapter = trained_on(tmp_path, examples())
    found, notes = check_training_data([("ours", adapter)], [task()], "bakery")
    (checked,) = found["ours"]["checked"]
    assert checked["benchmarks"][0]["queries_contained"] == checked["benchmarks"][0]["documents_contained"] == 0
    (note,) = notes
    assert note == (
        "ours, training data judgments: bakery: 0 of 2 test queries and 0 of 2 test documents were seen in training"
    )
    json.dumps(found)


@pytest.mark.parametrize("part", ["query", "document"])
def test_what_the_benchmark_asks_or_holds_is_found(tmp_path: Path, part: str) -> None:
    given = examples(query=f"Sunken bread\n{WORDS}") if part == "query" else examples(document=f"Well: {PAGE}. Bye.")
    found, (note,) = check_training_data([("ours", trained_on(tmp_path, given))], [task()], "bakery")
    (checked,) = found["ours"]["checked"]
    part_counts = {key: checked["benchmarks"][0][f"{key}_contained"] for key in ("queries", "documents")}
    assert part_counts == {"queries": int(part == "query"), "documents": int(part == "document")}
    assert f"1 of 2 test {'queries' if part == 'query' else 'documents'}" in note


def test_data_that_is_gone_is_told_and_not_called_clean(tmp_path: Path) -> None:
    adapter = trained_on(tmp_path, examples())
    (tmp_path / "judgments").rename(tmp_path / "moved")
    found, (note,) = check_training_data([("ours", adapter)], [task()], "bakery")
    assert found["ours"] == {"checked": [], "not_at_hand": ["../judgments"]}
    assert "training data is no longer at" in note


def test_a_model_from_elsewhere_names_no_data(tmp_path: Path) -> None:
    found, (note,) = check_training_data([("theirs", tmp_path)], [task()], "bakery")
    assert found["theirs"]["checked"] == []
    assert "is unknown" in note


def test_two_adapters_of_the_same_data_are_both_told(tmp_path: Path) -> None:
    adapter = trained_on(tmp_path, examples(query=WORDS))
    found, notes = check_training_data([("a", adapter), ("b", adapter)], [task()], "bakery")
    assert found["a"] == found["b"]
    assert [note.partition(",")[0] for note in notes] == ["a", "b"]
