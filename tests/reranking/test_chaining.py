"""Rerankers in a chain: one total order, what each saw, what each cost, from the library, the command and a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from interank import Reranker
from interank.cli.app import main
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError, RecipeError
from interank.ir.trec import read_run
from interank.recipe import EvaluateRecipe, load_recipe
from interank.reranking.chaining import Chain, Link
from interank.settings import LinkRecipe, PromptSettings
from interank.stages import evaluate
from interank.types import Document, Query, Run, ScoredDoc
from tests.support import rule
from tests.support.benchmark import benchmark_folder, write_jsonl
from tests.support.commands import started
from tests.support.oracle import OracleEngine
from tests.support.tiny import tiny_tokenizer

_ENCODER = PromptEncoder(tiny_tokenizer(), PromptSettings())
QUERY = Query("q", "Where is the red fox?")
DOCUMENTS = [
    Document(f"d{n}", f"{rule.document_text('red', animal, place)} This is worth {n}.")
    for n, (animal, place) in enumerate((a, p) for p in rule.PLACES for a in rule.ANIMALS)
][:20]


def listwise(**lists: Any) -> Reranker:
    return Reranker.on(OracleEngine(_ENCODER), _ENCODER, mode="listwise", lists=lists)


@pytest.fixture(scope="module")
def pointwise(tiny_adapter: Path) -> Reranker:
    return Reranker(tiny_adapter)


def ids(ranking: list[Any]) -> list[str]:
    return [item.doc_id for item in ranking]


def test_the_second_orders_the_first_s_best_and_the_rest_stays(pointwise: Reranker) -> None:
    first = pointwise.rank(QUERY, DOCUMENTS)
    chain = Chain([Link(pointwise, 20), Link(listwise(window=4, step=2), 6)])
    ranking, (one, two) = chain.ranked(QUERY, DOCUMENTS)
    assert sorted(ids(ranking[:6])) == sorted(ids(first)[:6])
    assert ids(ranking)[:2] == sorted(ids(first)[:6], key=lambda name: -int(name[1:]))[:2]
    assert ids(ranking)[6:] == ids(first)[6:]
    assert [item.score for item in ranking] == [float(score) for score in range(20, 0, -1)]
    # Grades are the first one's.
    assert {item.doc_id: item.probabilities for item in ranking} == {i.doc_id: i.probabilities for i in first}
    assert ranking[0].explanation
    assert (one.documents, two.documents) == (20, 6)
    assert (one.lists.answers, two.lists.answers) == (0, 2)
    assert one.tokens_read > 0
    assert two.flops == 10.0 * two.tokens_read
    assert "listwise" not in one.as_row()
    assert two.as_row()["listwise"]["answers"] == 2


def test_what_no_reranker_saw_keeps_the_order_given(pointwise: Reranker) -> None:
    ranking = Chain([Link(listwise(), 5), Link(listwise(), 3)]).rank(QUERY, DOCUMENTS)
    assert ids(ranking) == ["d4", "d3", "d2", "d1", "d0", *(f"d{n}" for n in range(5, 20))]
    assert ids(Chain([Link(pointwise, 100)]).rank(QUERY, DOCUMENTS)) == ids(pointwise.rank(QUERY, DOCUMENTS))


def test_a_pointwise_reranker_behind_a_listwise_one_keeps_its_grades(pointwise: Reranker) -> None:
    ranking = Chain([Link(listwise(), 20), Link(pointwise, 4)]).rank(QUERY, DOCUMENTS)
    assert sorted(ids(ranking)[:4]) == ["d16", "d17", "d18", "d19"]
    assert [item.relevance is not None for item in ranking] == [True] * 4 + [False] * 16


def test_a_chain_takes_and_gives_a_run_as_its_rerankers_do(pointwise: Reranker) -> None:
    corpus = {document.doc_id: document for document in DOCUMENTS}
    candidates = Run({"q": [ScoredDoc("q", d.doc_id, -float(n)) for n, d in enumerate(DOCUMENTS)]}, tag="first")
    run = Chain([Link(pointwise, 20), Link(listwise(), 6)]).rerank([QUERY, Query("none", "?")], candidates, corpus)
    again = Chain([Link(listwise(), 6)]).rerank([QUERY], pointwise.rerank([QUERY], candidates, corpus), corpus)
    assert run.doc_ids("q") == again.doc_ids("q")
    assert run["none"] == ()


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="a chain"):
        Chain([])
    with pytest.raises(InputError, match="a depth of 1 or more"):
        Chain([Link(listwise(), 0)])
    with pytest.raises(InputError, match="a chain orders documents"):
        Chain([Link(listwise(), 6)]).graded(QUERY, [])


LISTS = {"window": 3, "step": 1, "prompt": {"form": "direct", "max_document_tokens": 16}}


def test_evaluate_scores_a_chain_and_tells_each_link_s_cost(
    tiny_adapter: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    benchmark_folder(tmp_path / "benchmark")
    links = [
        {"model": str(tiny_adapter), "depth": 5},
        {"model": str(tiny_folder), "mode": "listwise", "depth": 4, "lists": LISTS, "max_reasoning_tokens": 8},
    ]
    recipe = EvaluateRecipe(
        stage="evaluate",
        benchmark=tmp_path / "benchmark",
        adapters=(tiny_adapter,),
        depth=5,
        chain=tuple(LinkRecipe.model_validate(link) for link in links),
    )
    artifact = evaluate.run(recipe, tmp_path / "out")
    ours, alone = (read_run(artifact.path / "runs" / f"{name}.trec") for name in ("chain", "adapter"))
    assert {name: sorted(ours.doc_ids(name)[:4]) for name in ours} == {n: sorted(alone.doc_ids(n)[:4]) for n in alone}
    assert {name: ours.doc_ids(name)[4:] for name in ours} == {name: alone.doc_ids(name)[4:] for name in alone}
    costs = json.loads((artifact.path / "cost.json").read_text())["per_query"]
    one, two, whole = (costs[name] for name in ("chain, 1. score to 5", "chain, 2. listwise to 4", "chain"))
    assert one["tokens_read"] + two["tokens_read"] == pytest.approx(whole["tokens_read"], abs=0.001)
    assert one["tokens_read"] == costs["adapter"]["tokens_read"]
    assert (one["tokens_written"], two["tokens_written"] > 0) == (0, True)
    report = (artifact.path / "report.md").read_text()
    assert "| chain, 2. listwise to 4 |" in report
    # Three queries, of whose first four documents a window of three is asked about twice.
    assert "chain: of 6 answers about windows" in report
    assert set(artifact.manifest["inputs"]) == {"benchmark", "adapter.adapter", "chain.1", "chain.2"}
    again = evaluate.run(recipe, tmp_path / "again")
    assert again.manifest["files"] == artifact.manifest["files"]


def test_evaluate_has_a_listwise_mode(tiny_folder: Path, tmp_path: Path) -> None:
    benchmark_folder(tmp_path / "benchmark")
    given = {"mode": "listwise", "lists": LISTS, "max_reasoning_tokens": 8, "depth": 5}
    recipe = EvaluateRecipe.model_validate(
        {"stage": "evaluate", "benchmark": tmp_path / "benchmark", "adapters": (tiny_folder,), **given}
    )
    artifact = evaluate.run(recipe, tmp_path / "out")
    metrics = json.loads((artifact.path / "metrics.json").read_text())
    assert "calibration" not in metrics["tiny"]
    assert "tiny: of 9 answers about windows" in (artifact.path / "report.md").read_text()


def test_settings_of_lists_belong_to_mode_listwise(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("stage: evaluate\nlists: {window: 5}\nchain: [{model: a, lists: {window: 4, step: 2}}]\n")
    with pytest.raises(RecipeError, match=r"lists, chain\.0\.lists: "):
        load_recipe(str(recipe))


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    def row(number: int) -> dict[str, Any]:
        texts = [rule.document_text("red", animal, rule.PLACES[number % 3]) for animal in rule.ANIMALS]
        documents = [{"id": f"q{number}-{place}", "text": text} for place, text in enumerate(texts)]
        return {"query_id": f"q{number}", "query": "Where is the red fox?", "documents": documents}

    return write_jsonl(tmp_path / "asked.jsonl", [row(number) for number in range(16)])


def line(adapter: Path, model: Path, requests: Path) -> list[str]:
    then = ["--then", str(model), "--then-depth", "5", "--lists", "window=3,step=1,prompt.form=direct"]
    return ["rerank", str(adapter), "--requests", str(requests), "--max-reasoning-tokens", "8", "--json", *then]


def test_a_killed_chain_goes_on_at_the_query_it_was_at(
    tiny_adapter: Path, tiny_folder: Path, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = line(tiny_adapter, tiny_folder, requests)
    out, ledger = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.partial.jsonl"
    running = [sys.executable, "-m", "interank.cli.app", *command, "--jsonl", str(out)]
    with started(running, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    kept = ledger.read_bytes().count(b"\n")
    assert 3 <= kept < 16
    assert main([*command, "--jsonl", str(out)]) == 0
    assert f"{kept} queries were ranked by an earlier try" in capsys.readouterr().err
    assert main([*command, "--jsonl", str(tmp_path / "whole.jsonl")]) == 0
    assert out.read_text() == (tmp_path / "whole.jsonl").read_text()
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    assert [len(row["ranking"]) for row in rows] == [8] * 16
    assert {row["listwise"][0]["answers"] for row in rows} == {3}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lists", "window=3"], "--lists belongs to mode listwise"),
        (["--then", "m", "--explain", "2"], "--explain belongs to one reranker"),
        (["--mode", "listwise", "--lists", "windw=3"], "windw"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tiny_folder: Path, requests: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerank", str(tiny_folder), "--requests", str(requests), *options]) == 1
    assert said in capsys.readouterr().err
