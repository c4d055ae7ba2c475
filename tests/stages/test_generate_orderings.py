"""generate asks for orders of what is judged: kept where they agree with the judgments, rejected with the reason."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from interank.artifact import open_artifact
from interank.ir.measures import score_run
from interank.recipe import GenerateRecipe
from interank.resources import resource_dir
from interank.stages import generate
from interank.stages.plan import plan
from interank.tasks.order import ordering
from interank.tasks.order.orderings import Orderings
from interank.types import Qrel, Run
from tests.support.stub import READ, WRITTEN, Answer, Stub, priced, said, serving

DUMPS = resource_dir("data") / "stackexchange"
_SHOWN = re.compile(r"^\[\d+\] (.*)$", re.M)
NOWHERE = "http://127.0.0.1:9/v1"
Reorder = Callable[[list[int]], str]


def grade(text: str) -> int:
    """What the teacher thinks of a document, told by its first words so that it is the same in every prompt."""
    return zlib.crc32(" ".join(text.split()[:4]).encode()) % 3


def well(best: list[int]) -> str:
    return ordering.answer(best, f"[{best[0] + 1}] helps most.")


def teacher(reorder: Reorder = well) -> Stub:
    """Grades documents, and orders lists by its own grades, best first, as `reorder` then has it."""

    def answer(_: int, body: dict[str, Any]) -> Answer:
        content = body["messages"][0]["content"]
        if "\n\nDocuments:\n\n" not in content:
            document = content.partition("\n\nDocument:\n")[2]
            return said(f"Relevance Label: {grade(document)}\n\nIt says what it says.")
        texts = _SHOWN.findall(content.partition("\n\nDocuments:\n\n")[2])
        return said(reorder(sorted(range(len(texts)), key=lambda place: -grade(texts[place]))))

    return Stub(priced(answer))


def recipe_of(url: str, **more: Any) -> GenerateRecipe:
    asked = {
        "model": "big",
        "engine": "openai",
        "server": {"urls": (url,), "api": "chat", "in_flight": 1},
        "orderings": {"window": 4, "prompt": {"max_length": 2000, "max_document_tokens": 60}},
    }
    content = {
        "stage": "generate",
        "decontaminate": False,
        "prompt": {"max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64},
        **more,
    }
    content["teacher"] = asked | more.get("teacher", {})
    return GenerateRecipe.model_validate(content)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    mining = {"questions": 10, "documents_per_question": 5, "validation_share": 0.3}
    recipe = recipe_of(NOWHERE, dumps=(str(DUMPS),), mining=mining)
    return str(generate.run(recipe, tmp_path_factory.mktemp("mined") / "pairs", only_mine=True).path)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_orders_that_agree_are_kept_beside_the_judgments(pairs: str, tmp_path: Path) -> None:
    stub = teacher()
    with serving(stub):
        artifact = generate.run(recipe_of(stub.url, pairs=pairs), tmp_path / "out")
    counts = artifact.manifest["counts"]
    lists = list(Orderings(artifact.path))
    assert counts["orderings"] == len(lists) > 5
    assert (counts["rejected_orderings"], counts["unanswered_orderings"]) == (0, 0)
    assert artifact.manifest["orderings"]["prompt_hash"] == ordering.prompt_hash("reason")
    judged = {(row["query_id"], row["doc_id"]): row["relevance"] for row in rows(artifact.path / "judgments.jsonl")}
    for item in lists:
        names = [item.documents[place].doc_id for place in item.ordering.positions]
        grades = [judged[item.query.query_id, name] for name in names]
        assert grades == sorted(grades, reverse=True)
        assert len(names) <= 4
        assert len(set(grades)) > 1
    # Shown in no order: what is best does not stand first.
    assert {item.ordering.positions[0] for item in lists} > {0}
    assert {item.split for item in lists} == {"train", "validation"}
    assert "`orderings.jsonl`" in (artifact.path / "README.md").read_text("utf-8")
    assert all(row["ndcg"] == 1.0 for row in rows(artifact.path / "orderings.jsonl"))


def test_the_teacher_sees_places_and_no_names(pairs: str, tmp_path: Path) -> None:
    stub = teacher()
    with serving(stub):
        artifact = generate.run(recipe_of(stub.url, pairs=pairs), tmp_path / "out")
    asked = [body["messages"][0]["content"] for body in stub.bodies]
    lists = [content for content in asked if "\n\nDocuments:\n\n" in content]
    assert len(lists) == len(list(Orderings(artifact.path)))
    names = {row["doc_id"] for row in rows(artifact.path / "judgments.jsonl")}
    assert not any(name in content for name in names for content in lists)


@pytest.mark.parametrize(
    ("reorder", "reason"),
    [
        (lambda best: "I cannot say.", "no ranking could be read"),
        (lambda best: ordering.answer(best[:-1], "So."), "does not name each of"),
        (lambda best: ordering.answer([*best, best[0]], "So."), "does not name each of"),
        (lambda best: ordering.answer(best), "no reasoning before"),
        (lambda best: ordering.answer(best, "[1] is the accepted answer."), "tells where a document came from"),
        (lambda best: ordering.answer(best[::-1], "So."), "nDCG@10 by the judgments is 0."),
    ],
)
def test_what_is_wrong_is_rejected_with_its_reason(pairs: str, tmp_path: Path, reorder: Reorder, reason: str) -> None:
    stub = teacher(reorder)
    strict = {"window": 4, "min_ndcg": 1.0, "prompt": {"max_length": 2000, "max_document_tokens": 60}}
    with serving(stub):
        artifact = generate.run(recipe_of(stub.url, pairs=pairs, teacher={"orderings": strict}), tmp_path / "out")
    rejected = rows(artifact.path / "rejected_orderings.jsonl")
    assert artifact.manifest["counts"]["rejected_orderings"] == len(rejected) > 0
    assert all(reason in row["reason"] for row in rejected)
    assert all(row["reply"] and row["doc_ids"] for row in rejected)
    assert list(Orderings(artifact.path)) == []
    # The judgments are none the worse.
    assert artifact.manifest["counts"]["judgments"] > 10


def test_the_threshold_is_the_recipes(pairs: str, tmp_path: Path) -> None:
    stub = teacher(lambda best: ordering.answer(best[::-1], "So."))
    settings = {"window": 4, "min_ndcg": 0.0, "prompt": {"max_length": 2000, "max_document_tokens": 60}}
    with serving(stub):
        artifact = generate.run(recipe_of(stub.url, pairs=pairs, teacher={"orderings": settings}), tmp_path / "out")
    lists = list(Orderings(artifact.path))
    judged = {(row["query_id"], row["doc_id"]): row["relevance"] for row in rows(artifact.path / "judgments.jsonl")}
    for item, row in zip(lists, rows(artifact.path / "orderings.jsonl"), strict=True):
        names = [document.doc_id for document in item.documents]
        qrels = [Qrel("q", name, judged[item.query.query_id, name]) for name in names]
        run = Run.from_orders({"q": [names[place] for place in item.ordering.positions]}, tag="t")
        assert row["ndcg"] == pytest.approx(score_run(qrels, run).mean["nDCG@10"], abs=1e-4)
        assert row["ndcg"] < 1.0


def test_a_budget_that_ends_among_the_lists_goes_on_to_the_same_end(pairs: str, tmp_path: Path) -> None:
    first, second = teacher(), teacher()
    with serving(first, second):
        whole = generate.run(recipe_of(first.url, pairs=pairs), tmp_path / "whole")
        judged = sum("\n\nDocuments:\n\n" not in body["messages"][0]["content"] for body in first.bodies)
        budget = {"tokens": (READ + WRITTEN) * (judged + 3)}
        stopped = generate.run(recipe_of(second.url, pairs=pairs, budget=budget), tmp_path / "out")
        counts = stopped.manifest["counts"]
        assert "stopped" in stopped.manifest
        assert counts["unanswered"] == 0
        assert 0 < counts["orderings"] < whole.manifest["counts"]["orderings"]
        assert counts["unanswered_orderings"] == whole.manifest["counts"]["orderings"] - counts["orderings"]
        again = generate.run(recipe_of(second.url, pairs=pairs), tmp_path / "out", existing="resume")
    assert len(second.bodies) == len(first.bodies)
    assert (again.path / "orderings.jsonl").read_bytes() == (whole.path / "orderings.jsonl").read_bytes()


def test_judgments_without_lists_have_no_such_file(pairs: str, tmp_path: Path) -> None:
    stub = teacher()
    with serving(stub):
        artifact = generate.run(recipe_of(stub.url, pairs=pairs, teacher={"orderings": None}), tmp_path / "out")
    assert not (artifact.path / "orderings.jsonl").exists()
    assert "orderings" not in open_artifact(artifact.path).manifest["counts"]


def test_the_plan_counts_the_lists(pairs: str) -> None:
    with_lists = recipe_of(NOWHERE, pairs=pairs)
    without = recipe_of(NOWHERE, pairs=pairs, teacher={"orderings": None})
    more, fewer = plan(with_lists)["tokens"], plan(without)["tokens"]
    assert more["written"] == fewer["written"] + 10 * 512
    assert more["read"] > fewer["read"]


def test_an_order_without_reasoning_is_not_asked_for() -> None:
    with pytest.raises(ValidationError, match="reasoning"):
        recipe_of(NOWHERE, teacher={"orderings": {"prompt": {"form": "direct"}}})
