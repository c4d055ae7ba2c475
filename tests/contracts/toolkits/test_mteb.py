"""A task of BRIGHT's shape, in the real mteb and in `interank evaluate`: the same measures of the same candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mteb", reason="mteb is not installed; `make contracts` runs this")
pytestmark = pytest.mark.filterwarnings("default")
DEPTH = 5
QUERIES = 6


def sample_task(folder: Path) -> Any:
    """mteb's task of a benchmark's folder, with interank's candidates."""
    from interank.ir.benchmarks import load_benchmark
    from interank.ir.bm25 import Bm25
    from interank.ir.measures import judged_by_query
    from tests.contracts.mteb_task import task_of

    benchmark = load_benchmark(folder)
    documents = benchmark.documents()
    candidates = Bm25(list(documents.values())).rank(
        benchmark.queries.values(), top_k=DEPTH, excluded=benchmark.excluded
    )
    gold = {name: {k: int(v) for k, v in found.items()} for name, found in judged_by_query(benchmark.qrels).items()}
    shown = {name: [*candidates.scores(name)] for name in benchmark.queries}
    return task_of(list(documents.values()), list(benchmark.queries.values()), gold, shown)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the sample benchmark, untitled, since mteb puts a blank behind a title and interank a line's end."""
    from interank.ir.benchmarks import load_benchmark
    from interank.resources import resource_dir

    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    made = tmp_path_factory.mktemp("bright") / "sample"
    made.mkdir()
    queries = list(benchmark.queries.values())[:QUERIES]
    kept = {query.query_id for query in queries}
    rows = [json.dumps({"_id": d.doc_id, "text": d.full_text[:300]}) for d in benchmark.documents().values()]
    (made / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (made / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": query.query_id, "text": query.text[:200]}) for query in queries) + "\n"
    )
    lines = [f"{q.query_id}\t{q.doc_id}\t{int(q.relevance)}" for q in benchmark.qrels if q.query_id in kept]
    (made / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n")
    return made


def test_mteb_and_interank_evaluate_alike(
    reranker: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mteb

    from interank.cli.app import main
    from interank.integrations.mteb import InterankSearch, cross_encoder
    from interank.stages.export import export

    out = tmp_path / "evaluated"
    adapter = str(reranker.source)
    command = ["evaluate", "recipes/evaluate/benchmark.yaml", f"benchmark={folder}", f"adapters={adapter}"]
    assert main([*command, f"depth={DEPTH}", "first_stage=bm25", "explain=0", "--out", str(out), "--quiet"]) == 0
    measured = json.loads((out / "metrics.json").read_text())
    (own,) = (found["nDCG@10"]["mean"] for name, found in measured.items() if name == Path(adapter).name)
    assert own != pytest.approx(measured["first stage"]["nDCG@10"]["mean"], abs=1e-3)
    export(adapter, tmp_path / "st")
    for model in (cross_encoder(tmp_path / "st"), InterankSearch(reranker)):
        found = mteb.evaluate(
            model, sample_task(folder), cache=None, overwrite_strategy="always", show_progress_bar=False
        )
        score = found.task_results[0].scores["standard"][0]["ndcg_at_10"]
        assert score == pytest.approx(own, abs=5e-5), type(model)
