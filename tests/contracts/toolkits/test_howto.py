"""What the how-to on toolkits shows is run as it stands, the part of each toolkit where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interank.stages.export import export
from tests.contracts.presence import found
from tests.contracts.texts import QUERY, TEXTS
from tests.support.tiny import strong_adapter
from tests.test_readme import ROOT, read_snippets

pytestmark = pytest.mark.filterwarnings("default")
HOWTO = ROOT / "docs" / "howto" / "toolkits.md"
LEAD = "# pip install '.["
PACKAGES = {
    "langchain": "langchain-core",
    "llama-index": "llama-index-core",
    "haystack": "haystack-ai",
    "pyterrier": "pyterrier",
    "rerankers": "rerankers",
    "mteb": "mteb",
}


def shown() -> dict[str, str]:
    """Each toolkit's lines of the how-to."""
    (snippet,) = [each for each in read_snippets(HOWTO, HOWTO.read_text("utf-8")) if each.language == "python"]
    return {name: text for name, _, text in (part.partition("]'\n") for part in snippet.text.split(LEAD)[1:])}


def langchain() -> dict[str, Any]:
    from langchain_core.documents import Document

    return {"documents": [Document(page_content=text) for text in TEXTS]}


def llama_index() -> dict[str, Any]:
    from llama_index.core.schema import NodeWithScore, TextNode

    return {"nodes": [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]}


def haystack() -> dict[str, Any]:
    from haystack import Pipeline

    return {"pipeline": Pipeline()}


def pyterrier() -> dict[str, Any]:
    import pandas as pd
    import pyterrier as pt

    rows = [{"qid": "1", "query": QUERY, "docno": f"d{n}", "text": t, "score": 0.0} for n, t in enumerate(TEXTS)]
    return {"first_stage": pt.Transformer.from_df(pd.DataFrame(rows))}


def mteb() -> dict[str, Any]:
    from interank.types import Document, Query
    from tests.contracts.mteb_task import task_of

    export(Path("runs/demo/rl"), Path("runs/rl-st"))
    names = [f"d{place}" for place in range(3)]
    documents = [Document(name, text) for name, text in zip(names, TEXTS, strict=False)]
    return {"task": task_of(documents, [Query("q", QUERY)], {"q": {"d1": 1}}, {"q": names})}


GIVEN = {"langchain": langchain, "llama-index": llama_index, "haystack": haystack, "pyterrier": pyterrier, "mteb": mteb}


def test_every_toolkit_is_shown() -> None:
    assert list(shown()) == list(PACKAGES)


@pytest.mark.parametrize("name", [name for name, package in PACKAGES.items() if found(package)])
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = strong_adapter(tmp_path / "model")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    made.rename(tmp_path / "runs" / "demo" / "rl")
    monkeypatch.chdir(tmp_path)
    names = GIVEN[name]() if name in GIVEN else {}
    exec(compile(shown()[name], str(HOWTO), "exec", dont_inherit=True), names)
    ranked = names.get("best") or names.get("results") or names.get("nodes")
    if ranked is not None:
        assert len(list(ranked)) > 0
