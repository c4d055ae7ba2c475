"""evaluate takes heads like any reranker: alone, one that has to be told how it reads, and before a listwise one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from interank import Reranker
from interank.cli.app import main
from interank.errors import InputError, ModelError
from interank.ir.trec import read_run
from interank.recipe import (
    EvaluateRecipe,
)
from interank.settings import (
    HeadSettings,
    LinkRecipe,
    ListwiseRecipe,
    LoraRecipe,
)
from interank.stages import distill, evaluate
from interank.tasks.head.recipe import DistillHead
from interank.types import Document, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.tiny_heads import released_adapter, tiny_adapter_head, tiny_base

DEPTH = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark, a head, and one as DeAR released them."""
    found = tmp_path_factory.mktemp("evaluate")
    benchmark_folder(found / "benchmark", queries=2, documents=5)
    base = tiny_base(found / "base")
    tiny_adapter_head(found / "head", base, HeadSettings())
    released_adapter(found / "released", base, seed=2)
    return found


def texts(folder: Path) -> tuple[dict[str, str], dict[str, Document]]:
    rows = [json.loads(line) for line in (folder / "benchmark" / "queries.jsonl").read_text().splitlines()]
    corpus = [json.loads(line) for line in (folder / "benchmark" / "corpus.jsonl").read_text().splitlines()]
    documents = {row["_id"]: Document(row["_id"], row["text"], row.get("title", "")) for row in corpus}
    return {row["_id"]: row["text"] for row in rows}, documents


def test_heads_are_systems_like_others(folder: Path) -> None:
    recipe = EvaluateRecipe(
        stage="evaluate",
        benchmark=folder / "benchmark",
        depth=DEPTH,
        adapters=(folder / "head", folder / "released"),
        head=HeadSettings(legacy="dear"),
    )
    artifact = evaluate.run(recipe, folder / "out")
    queries, corpus = texts(folder)
    first = read_run(artifact.path / "runs" / "first_stage.trec")
    for name, reranker in (
        ("head", Reranker(folder / "head")),
        ("released", Reranker(folder / "released", head={"legacy": "dear"})),
    ):
        run = read_run(artifact.path / "runs" / f"{name}.trec")
        for query_id, text in queries.items():
            given = [corpus[doc_id] for doc_id in first.doc_ids(query_id)]
            ranking = reranker.rank(Query(query_id, text), given)
            assert run.doc_ids(query_id) == [item.doc_id for item in ranking]


def test_a_distilled_heads_page_says_how_it_reads_a_pair(folder: Path, tmp_path: Path) -> None:
    recipe = DistillHead(
        task="head",
        stage="distill",
        judgments=judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=2, documents=4)),
        student=str(folder / "base"),
        objective="cross_entropy",
        documents=3,
        encoding=HeadSettings(max_length=64),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 1, "per_device_train_batch_size": 1, "save_strategy": "no"},
    )
    adapter = distill.run(recipe, tmp_path / "adapter").path
    asked = EvaluateRecipe(stage="evaluate", benchmark=folder / "benchmark", depth=DEPTH, adapters=(adapter,))
    page = (evaluate.run(asked, tmp_path / "out").path / "report.html").read_text("utf-8")
    assert "max_length 64" in page
    assert "cross_entropy" in page


def test_a_head_before_a_listwise_reranker(folder: Path, tiny_folder: Path) -> None:
    chain = (
        LinkRecipe(model=str(folder / "released"), depth=DEPTH, head=HeadSettings(legacy="dear")),
        LinkRecipe(
            model=str(tiny_folder),
            mode="listwise",
            depth=3,
            max_reasoning_tokens=8,
            lists=ListwiseRecipe(window=2, step=1),
        ),
    )
    recipe = EvaluateRecipe(stage="evaluate", benchmark=folder / "benchmark", depth=DEPTH, chain=chain)
    artifact = evaluate.run(recipe, folder / "chained")
    queries, corpus = texts(folder)
    first, chained = (read_run(artifact.path / "runs" / f"{name}.trec") for name in ("first_stage", "chain"))
    head = Reranker(folder / "released", head={"legacy": "dear"})
    for query_id, text in queries.items():
        ranking = head.rank(Query(query_id, text), [corpus[doc_id] for doc_id in first.doc_ids(query_id)])
        alone = [item.doc_id for item in ranking]
        assert chained.doc_ids(query_id)[3:] == alone[3:]
        assert set(chained.doc_ids(query_id)[:3]) == set(alone[:3])
    costs = [json.loads(line) for line in (artifact.path / "cost.jsonl").read_text().splitlines()]
    assert all(row["flops"] > 0 for row in costs if row["system"] == "chain")


def test_what_a_head_cannot_do_ends_the_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"stage": "evaluate", "benchmark": folder / "benchmark", "depth": DEPTH}
    with pytest.raises(ModelError, match="legacy: dear"):
        evaluate.run(EvaluateRecipe(**given, adapters=(folder / "released",)), folder / "untold")
    with pytest.raises(InputError, match="mode score"):
        evaluate.run(EvaluateRecipe(**given, adapters=(folder / "head",), mode="reason"), folder / "reasons")
    # What the published recipes ask for of every adapter is no reason to measure none.
    evaluate.run(EvaluateRecipe(**given, adapters=(folder / "head",), explain=2), folder / "unexplained")
    out = ["--out", str(folder / "queries.jsonl"), "--quiet"]
    assert main(["queries", str(folder / "head"), "--corpus", str(folder / "benchmark"), *out]) == 1
    assert re.search("head.* reads pairs", capsys.readouterr().err)
