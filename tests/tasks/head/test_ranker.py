"""A head behind the reranker's door: the same interface, one mode, several domains on one base, and chains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interank import Reranker
from interank.cli.app import main
from interank.engines.heads import load_head, scores
from interank.errors import InputError, ModelError
from interank.reranking.chaining import Chain, Link
from interank.reranking.domains import open_domains
from interank.settings import HeadSettings
from interank.types import Document, Query
from tests.support.benchmark import write_jsonl
from tests.support.tiny_heads import PAIRS, released_adapter, tiny_adapter_head, tiny_base, tiny_head

QUERY = Query("q", "where is the red fox")
DOCUMENTS = [Document(f"d{place}", text) for place, (_, text) in enumerate(PAIRS)]
READS = HeadSettings(max_length=160)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("heads") / "base")


@pytest.fixture(scope="module")
def medical(base: Path) -> Path:
    return tiny_adapter_head(base.parent / "medical", base, READS, seed=3)


@pytest.fixture(scope="module")
def legal(base: Path) -> Path:
    return tiny_adapter_head(base.parent / "legal", base, READS.model_copy(update={"query_prefix": "law: "}), seed=4)


def scored(reranker: Reranker) -> dict[str, float]:
    return {item.doc_id: item.score for item in reranker.rank(QUERY, DOCUMENTS)}


def test_a_head_ranks_by_its_logits(medical: Path) -> None:
    head = load_head(medical)
    expected = scores(head, [head.encoder.pair(QUERY, document) for document in DOCUMENTS]).tolist()
    ranking = Reranker(medical).rank(QUERY, DOCUMENTS)
    assert {item.doc_id: item.score for item in ranking} == pytest.approx(
        {document.doc_id: score for document, score in zip(DOCUMENTS, expected, strict=True)}, rel=1e-4
    )
    assert [item.score for item in ranking] == sorted(expected, reverse=True) or len(ranking) == len(expected)
    assert [item.score for item in ranking] == sorted((item.score for item in ranking), reverse=True)
    assert all(item.relevance is None and item.explanation is None for item in ranking)


def test_what_a_head_cannot_do_is_refused(medical: Path, tiny_folder: Path) -> None:
    for mode in ("explain", "reason", "listwise", "adaptive"):
        with pytest.raises(InputError, match=r"pointwise head.*mode score"):
            Reranker(medical, mode=mode)
    with pytest.raises(InputError, match="engine is vllm"):
        Reranker(medical, engine="vllm")
    with pytest.raises(InputError, match="precision int8"):
        Reranker(medical, precision="int8")
    with pytest.raises(InputError, match="no grade"):
        Reranker(medical).rank(QUERY, DOCUMENTS, explain=1)
    with pytest.raises(InputError, match=r"guard fence .*pointwise head"):
        Reranker(medical).guarded("fence")
    with pytest.raises(InputError, match="no pointwise head"):
        Reranker(tiny_folder, head={"legacy": "dear"})
    with pytest.raises(InputError, match=r"Reranker\('m', head=\{'legacy': 'dear'\}\)"):
        Reranker.open_head("m", {"legacy": "dear"})
    with pytest.raises(InputError, match="head: pooling"):
        Reranker(medical, head={"pooling": "middle"})


def test_work_is_counted_without_padding(medical: Path) -> None:
    reranker = Reranker(medical)
    reranker.rank(QUERY, DOCUMENTS)
    encoder = load_head(medical).encoder
    assert reranker.engine.work.tokens_read == sum(len(encoder.ids(QUERY, document)) for document in DOCUMENTS)
    assert (reranker.engine.flops(reranker.engine.work) or 0) > 0


def test_documents_that_lost_their_ends_say_so(base: Path, tmp_path: Path) -> None:
    short = HeadSettings(max_length=60, max_document_tokens=20)
    ranking = Reranker(tiny_adapter_head(tmp_path / "short", base, short)).rank(QUERY, DOCUMENTS)
    cut = {item.doc_id: item.truncated for item in ranking}
    assert cut["d3"] == 0 and cut["d2"] > 0


def test_domains_stay_apart(medical: Path, legal: Path) -> None:
    """DeAR's card merges three adapters into one base, after which its three names are one model."""
    alone = {name: scored(open_domains({name: path})[name]) for name, path in (("a", medical), ("b", legal))}
    both = open_domains({"a": medical, "b": legal})
    before = scored(both["a"])
    between = scored(both["b"])
    assert before == scored(both["a"]) == alone["a"]
    assert between == scored(both["b"]) == alone["b"]
    assert min(abs(alone["a"][name] - alone["b"][name]) for name in alone["a"]) > 1e-3
    one, other = (both[name].engine.model for name in ("a", "b"))  # type: ignore[attr-defined]
    assert one is other
    for name, path in (("a", medical), ("b", legal)):
        assert alone[name] == pytest.approx(scored(Reranker(path)), rel=1e-4)


def test_domains_have_to_share_a_base(medical: Path, base: Path, tmp_path: Path) -> None:
    other = tiny_adapter_head(tmp_path / "other", tiny_base(tmp_path / "base", seed=7), READS)
    with pytest.raises(InputError, match="adapters have 2 bases"):
        open_domains({"a": medical, "b": other})
    with pytest.raises(InputError, match="no adapter of a pointwise head"):
        open_domains({"a": medical, "b": tiny_head(tmp_path / "whole", base, READS)})
    with pytest.raises(InputError, match="adapters have 0 bases"):
        open_domains({})


def test_a_head_before_a_listwise_reranker(medical: Path, tiny_folder: Path) -> None:
    first = Reranker(medical)
    lists = Reranker(tiny_folder, mode="listwise", max_reasoning_tokens=8, lists={"window": 2, "step": 1})
    ranking, costs = Chain([Link(first, 5), Link(lists, 3)]).ranked(QUERY, DOCUMENTS)
    alone = [item.doc_id for item in first.rank(QUERY, DOCUMENTS)]
    assert [item.doc_id for item in ranking][3:] == alone[3:]
    assert {item.doc_id for item in ranking[:3]} == set(alone[:3])
    assert [cost.documents for cost in costs] == [5, 3]


def test_a_head_may_follow_another_reranker(medical: Path, tiny_folder: Path) -> None:
    found = Chain([Link(Reranker(tiny_folder), 5), Link(Reranker(medical), 2)]).rank(QUERY, DOCUMENTS)
    assert all(item.relevance is not None for item in found)


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["rerank", *map(str, arguments), "--quiet"])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_question_on_the_command_line(
    capsys: pytest.CaptureFixture[str], medical: Path, base: Path, tmp_path: Path
) -> None:
    texts = []
    for document in DOCUMENTS:
        texts.append(tmp_path / f"{document.doc_id}.txt")
        texts[-1].write_text(document.text)
    code, out, _ = called(capsys, medical, "--query", QUERY.text, *texts, "--json")
    assert code == 0
    found = [(Path(item["doc_id"]).stem, item["score"]) for item in json.loads(out)["ranking"]]
    assert dict(found) == pytest.approx(scored(Reranker(medical)), rel=1e-5)
    released = released_adapter(tmp_path / "released", base)
    code, _, err = called(capsys, released, "--query", QUERY.text, *texts)
    assert code == 1 and "legacy: dear" in err
    code, out, _ = called(capsys, released, "--query", QUERY.text, *texts, "--json", "--head", "legacy=dear")
    assert code == 0
    dear = {Path(item["doc_id"]).stem: item["score"] for item in json.loads(out)["ranking"]}
    assert dear == pytest.approx(scored(Reranker(released, head={"legacy": "dear"})), rel=1e-5)
    # The same head behind itself is read as it is in front.
    again = ("--then", str(released), "--then-mode", "score", "--head", "legacy=dear")
    code, out, _ = called(capsys, released, "--query", QUERY.text, *texts, "--json", *again)
    assert code == 0
    order = [Path(item["doc_id"]).stem for item in json.loads(out)["ranking"]]
    assert order == sorted(dear, key=lambda name: -dear[name])
    with pytest.raises(ModelError, match="does not say how it reads"):
        Reranker(released)


def request(name: str, **more: Any) -> dict[str, Any]:
    candidates = [{"docid": d.doc_id, "score": 1.0, "doc": {"title": d.title, "text": d.text}} for d in DOCUMENTS]
    return {"query": {"text": QUERY.text, "qid": name}, "candidates": candidates, **more}


def test_rank_llm_reads_what_is_written(capsys: pytest.CaptureFixture[str], medical: Path, tmp_path: Path) -> None:
    """Its results have the layout of its requests: query with qid, candidates with docid, score and doc."""
    asked, results = write_jsonl(tmp_path / "asked.jsonl", [request("one"), request("two")]), tmp_path / "out.jsonl"
    assert called(capsys, medical, "--requests", asked, "--rank-llm", results)[0] == 0
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    expected = Reranker(medical).rank(QUERY, DOCUMENTS)
    for row, name in zip(rows, ("one", "two"), strict=True):
        assert row["query"] == {"text": QUERY.text, "qid": name}
        assert [item["docid"] for item in row["candidates"]] == [item.doc_id for item in expected]
        assert all(
            type(item["score"]) is float and set(item) == {"docid", "score", "doc"} for item in row["candidates"]
        )
        texts = {document.doc_id: document.text for document in DOCUMENTS}
        assert {item["docid"]: item["doc"]["text"] for item in row["candidates"]} == texts
    again = tmp_path / "again.jsonl"
    assert called(capsys, medical, "--requests", results, "--rank-llm", again)[0] == 0
    assert [json.loads(line) for line in again.read_text().splitlines()] == rows


def test_requests_choose_their_domain(
    capsys: pytest.CaptureFixture[str], medical: Path, legal: Path, tmp_path: Path
) -> None:
    names = [None, "legal", "a.b", "legal", None]
    asked = write_jsonl(tmp_path / "asked.jsonl", [request(f"q{n}", domain=name) for n, name in enumerate(names)])
    # Names that are no names of Python's, or of something else in a model.
    domains = ["--domain", f"legal={legal}", "--domain", f"a.b={legal}", "--domain", f"train={medical}"]
    code, out, _ = called(capsys, medical, "--requests", asked, *domains, "--json", "--jsonl", tmp_path / "out.jsonl")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows
    assert [row.get("domain") for row in rows] == names
    alone = {None: scored(Reranker(medical)), "legal": scored(Reranker(legal))}
    alone["a.b"] = alone["legal"]
    for row in rows:
        found = {item["doc_id"]: item["score"] for item in row["ranking"]}
        assert found == pytest.approx(alone[row.get("domain")], rel=1e-4)
    assert min(abs(alone[None][name] - alone["legal"][name]) for name in alone[None]) > 1e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "domain 'legal', and --domain gives none;"),
        (["--domain", "medical={0}"], "domain 'legal', and --domain gives medical;"),
        (["--domain", "legal={0}", "--domain", "legal={0}"], "--domain legal was given twice"),
        (["--domain", "legal={0}", "--mode", "reason"], "--domain belongs to pointwise heads"),
    ],
)
def test_a_domain_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], medical: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    asked = write_jsonl(tmp_path / "asked.jsonl", [request("q", domain="legal")])
    given = [option.format(medical) for option in options]
    code, out, err = called(capsys, medical, "--requests", asked, *given, "--json")
    assert (code, out) == (1, "")
    assert said in err


def test_domains_belong_to_requests(capsys: pytest.CaptureFixture[str], medical: Path, tmp_path: Path) -> None:
    text = tmp_path / "one.txt"
    text.write_text("A red fox.")
    code, _, err = called(capsys, medical, "--query", QUERY.text, text, "--domain", f"legal={medical}")
    assert code == 1 and "--domain belongs to --requests" in err
    with pytest.raises(SystemExit):
        called(capsys, medical, "--query", QUERY.text, text, "--domain", "legal")
    assert "NAME=ADAPTER is needed" in capsys.readouterr().err
    asked = write_jsonl(tmp_path / "asked.jsonl", [request("q", domain=["legal"])])
    code, _, err = called(capsys, medical, "--requests", asked)
    assert code == 1 and "domain" in err
