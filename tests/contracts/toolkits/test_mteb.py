"""A task of BRIGHT's shape, in the real mteb and in `interank evaluate`: the same measures of the same candidates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.presence import need
from tests.test_readme import ROOT, read_snippets

need("mteb")
pytestmark = pytest.mark.filterwarnings("default")
DEPTH = 5
QUERIES = 6
HOWTO = ROOT / "docs" / "howto" / "bright.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the sample benchmark as BRIGHT's task `biology` lies on the hub."""
    from interank.ir.benchmarks import load_benchmark
    from interank.resources import resource_dir

    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    made = tmp_path_factory.mktemp("bright") / "BRIGHT"
    queries = list(benchmark.queries.values())[:QUERIES]
    gold = {query.query_id: [q.doc_id for q in benchmark.qrels if q.query_id == query.query_id] for query in queries}
    documents = list(benchmark.documents().values())
    rows = {
        "documents": [{"id": each.doc_id, "content": each.full_text[:300]} for each in documents],
        "examples": [
            {
                "id": query.query_id,
                "query": query.text[:200],
                "gold_ids": gold[query.query_id],
                # The first query's are not shown, as BRIGHT leaves out what a question quotes.
                "excluded_ids": ["N/A"] if place else [documents[-1].doc_id],
            }
            for place, query in enumerate(queries)
        ],
    }
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: biology\n    path: {name}/biology.jsonl\n" for name in rows
    )
    for name, part in rows.items():
        (made / name).mkdir(parents=True)
        (made / name / "biology.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (made / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return made


def test_mteb_and_interank_evaluate_alike(
    reranker: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mteb

    from interank.cli.app import main
    from interank.errors import InputError
    from interank.integrations.mteb import InterankSearch, cross_encoder, with_candidates
    from interank.stages.export import export

    out = tmp_path / "evaluated"
    adapter = str(reranker.source)
    command = ["evaluate", "evaluate/bright", f"benchmark={folder}", "tasks=biology", f"adapters={adapter}"]
    assert main([*command, f"depth={DEPTH}", "measures=nDCG@10", "explain=0", "--out", str(out), "--quiet"]) == 0
    measured = json.loads((out / "metrics.json").read_text())
    (own,) = (found["nDCG@10"]["mean"] for name, found in measured.items() if name == Path(adapter).name)
    assert own != pytest.approx(measured["first stage"]["nDCG@10"]["mean"], abs=1e-3)
    export(adapter, tmp_path / "st")
    first_stage = out / "runs" / "first_stage.trec"

    get_task = mteb.get_task

    def task() -> Any:
        found = get_task("BrightBiologyRetrieval")
        monkeypatch.setitem(found.metadata.dataset, "path", str(folder))
        return found

    for model in (cross_encoder(tmp_path / "st"), InterankSearch(reranker)):
        given = with_candidates(task(), first_stage)
        found = mteb.evaluate(model, given, cache=None, overwrite_strategy="always", show_progress_bar=False)
        score = found.task_results[0].scores["standard"][0]["ndcg_at_10"]
        assert score == pytest.approx(own, abs=5e-5), type(model)
    query = first_stage.read_text().split()[0]
    for line, why in (("q Q0 d 1 1.0 x", "has no query of"), (f"{query} Q0 d 1 1.0 x", "document 'd' is not")):
        (tmp_path / "other.trec").write_text(line + "\n")
        with pytest.raises(InputError, match=why):
            with_candidates(task(), tmp_path / "other.trec")
    asked, runs = list[str](), tmp_path / "runs" / "bright" / "runs" / "first_stage"
    runs.mkdir(parents=True)
    shutil.copy(first_stage, runs / "biology.trec")
    (tmp_path / "st").rename(tmp_path / "runs" / "rl-st")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mteb, "get_task", lambda name: asked.append(name) or task())
    (shown,) = [each.text for each in read_snippets(HOWTO, HOWTO.read_text("utf-8")) if each.language == "python"]
    exec(compile(shown, str(HOWTO), "exec", dont_inherit=True), names := dict[str, Any]())
    assert asked == ["BrightBiologyRetrieval"] and names["scores"] == {"Biology": pytest.approx(own, abs=5e-5)}


def test_the_how_to_names_mtebs_tasks() -> None:
    import mteb

    from interank.ir.benchmarks import BRIGHT_TASKS

    for task in BRIGHT_TASKS:
        name = task.title().replace("_", "").replace("Theoremqa", "TheoremQA")
        assert mteb.get_task(f"Bright{name}Retrieval").metadata.eval_splits == ["standard"]
