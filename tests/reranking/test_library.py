"""What a program that imports the reranker finds: sources, inputs, streams, threads, refusals, bounded memory."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pandas
import pytest

from interank import Reranker
from interank.engines.bases import find_base
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Ability
from interank.engines.transformers import TransformersEngine
from interank.errors import InputError, ModelError
from interank.settings import PromptSettings
from interank.types import Document, Query, Run, ScoredDoc
from tests.support import rule

QUERY = Query("q", "Where is the red fox?")
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]


@pytest.fixture(scope="module")
def reranker(tiny_adapter: Path) -> Reranker:
    return Reranker(tiny_adapter, max_reasoning_tokens=4)


def scores(ranking: object) -> dict[str, float]:
    return {item.doc_id: item.score for item in ranking}  # type: ignore[attr-defined]


def test_the_package_s_door_opens_without_torch() -> None:
    program = (
        "import sys, interank; assert 'torch' not in sys.modules; interank.Reranker; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_an_unknown_name_is_no_part_of_the_package() -> None:
    import interank

    with pytest.raises(AttributeError, match="Rerankr"):
        _ = interank.Rerankr


def test_texts_documents_and_mappings_are_ranked_alike(reranker: Reranker) -> None:
    mappings = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]
    documents = [Document(str(n), text) for n, text in enumerate(TEXTS)]
    expected = reranker.rank(QUERY.text, TEXTS)
    assert reranker.rank(QUERY, documents) == reranker.rank(QUERY, mappings) == expected
    assert {item.doc_id for item in expected} == {str(n) for n in range(len(TEXTS))}


@pytest.mark.parametrize(
    ("query", "documents", "said"),
    [
        (" ", TEXTS, "is empty"),
        ("q", "a text alone", "put it into a list"),
        ("q", {"text": "a document alone"}, "put it into a list"),
        ("q", {"train": [], "test": []}, r"documents\['train'\]"),
        (["q", "r"], TEXTS, r"rerank\(queries, candidates, corpus\).* stream\("),
        ("q", [{"id": "a"}], "document 0 is .*text"),
        ("q", [7], "document 0 is 7"),
        ("q", [{"text": "x", "title": 7}], "document 0 has the title 7"),
        ("q", [Document("a", "x"), Document("a", "y")], "'a' occurs twice"),
    ],
)
def test_what_cannot_be_ranked_is_refused(reranker: Reranker, query: str, documents: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        reranker.rank(query, documents)


def test_an_instruction_is_given_beside_a_query_which_may_bring_its_own(reranker: Reranker) -> None:
    plain, told = reranker.rank(QUERY, TEXTS), reranker.rank(QUERY, TEXTS, instruction="Cite statutes.")
    assert scores(told) != scores(plain)
    assert scores(reranker.rank(QUERY, TEXTS, instruction="Cite cases.")) != scores(told)
    own = Query("q", QUERY.text, "Cite statutes.")
    assert scores(reranker.rank(own, TEXTS)) == scores(told)
    assert scores(reranker.rank(own, TEXTS, instruction="Cite cases.")) == scores(told)
    assert scores(reranker.rank(Query("q", QUERY.text, ""), TEXTS, instruction="Cite cases.")) == scores(plain)
    with pytest.raises(InputError, match="has the instruction 3, where a text is needed"):
        reranker.rank(QUERY, TEXTS, instruction=3)  # type: ignore[arg-type]


def test_a_ranking_carries_documents_and_shows_itself(tiny_adapter: Path) -> None:
    explainer = Reranker(tiny_adapter, mode="explain", max_reasoning_tokens=4)
    told = explainer.rank("Where is <b>the fox</b>?", [*TEXTS, "<script>alert(1)</script>"], explain=2)
    assert [item.document and item.document.doc_id for item in told] == [item.doc_id for item in told]
    assert all("document" not in item.as_row() for item in told)
    assert told == list(told)
    lines = repr(told).splitlines()
    assert lines[0] == "9 documents for 'Where is <b>the fox</b>?'"
    assert lines[1].startswith(f"  1. id {told[0].doc_id}  score {told[0].score:+.3f}  grade ")
    assert len([line for line in lines if line.startswith("     why: ")]) == len([i for i in told if i.explanation])
    page = told._repr_html_()
    assert page.count("<tr>") == 10
    assert page.count('role="img"') == 9
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>" not in page
    assert all(part in repr(explainer) for part in (str(tiny_adapter), "mode='explain'", "device='cpu'"))
    assert "<td>explain</td>" in explainer._repr_html_()


def test_a_long_ranking_shows_its_beginning(reranker: Reranker) -> None:
    told = reranker.rank("q", [f"Text {n}." for n in range(25)])
    assert len(told) == 25
    assert len(repr(told).splitlines()) == 22
    assert repr(told).endswith("and 5 more")
    assert told._repr_html_().count("<tr>") == 21


def test_tables_columns_and_datasets_are_ranked_as_lists(reranker: Reranker) -> None:
    rows = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(TEXTS)]
    expected = reranker.rank(QUERY, rows)
    dataset, frame = datasets.Dataset.from_list(rows), pandas.DataFrame(rows)
    frame.loc[3, "title"] = math.nan
    for documents in (dataset, frame, frame.to_dict("records"), dataset.data.table):
        assert reranker.rank(QUERY, documents) == expected
    for column in (dataset["text"], frame["text"], frame["text"].to_numpy(), tuple(TEXTS), iter(TEXTS)):
        assert reranker.rank(QUERY, column) == reranker.rank(QUERY, TEXTS)
    numbered = pandas.DataFrame({"id": [7, 8], "text": TEXTS[:2]})
    assert {item.doc_id for item in reranker.rank(QUERY, numbered)} == {"7", "8"}


def test_importing_prints_nothing() -> None:
    program = "import interank; interank.Reranker; import bitsandbytes, peft, interank.engines.transformers"
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=240, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_other_words_of_bitsandbytes_are_heard() -> None:
    program = (
        "import logging, interank; log = logging.getLogger('bitsandbytes.backends.cpu.ops');"
        "log.warning('Failed to load CPU gemm_4bit_forward from x: %s', 1); log.warning('4 bits are broken')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=240, capture_output=True, text=True)
    assert done.stderr == "4 bits are broken\n"


def test_explain_is_score_with_explanations(tiny_adapter: Path, reranker: Reranker) -> None:
    explained = Reranker(tiny_adapter, mode="explain", max_reasoning_tokens=4).rank(QUERY, TEXTS)
    plain = reranker.rank(QUERY, TEXTS)
    assert scores(explained) == scores(plain)
    assert [item.explanation is not None for item in explained] == [True] * 3 + [False] * 5
    assert all(item.explanation is None for item in plain)


def test_modes_and_counts_that_are_none_are_refused(tiny_adapter: Path, reranker: Reranker) -> None:
    with pytest.raises(InputError, match=r"'guess'.*score, explain, reason"):
        Reranker(tiny_adapter, mode="guess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="explain is -1"):
        reranker.rank(QUERY, TEXTS, explain=-1)


def test_a_part_at_a_time_changes_no_score(reranker: Reranker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reranker.rank(QUERY, TEXTS)
    monkeypatch.setattr("interank.tasks.ranks.PART", 3)
    parted = reranker.rank(QUERY, TEXTS)
    assert scores(parted) == pytest.approx(scores(whole), rel=1e-5, abs=1e-6)
    first = next(iter(reranker.graded(QUERY, TEXTS)))
    assert first.doc_id == "0"


def test_many_queries_make_a_run(reranker: Reranker) -> None:
    corpus = {str(n): Document(str(n), text) for n, text in enumerate(TEXTS)}
    queries = [Query("a", "Where is the red fox?"), Query("b", "Where is the blue owl?"), Query("none", "What?")]
    candidates = Run({q: [ScoredDoc(q, str(n), -float(n)) for n in range(4)] for q in "ab"}, tag="first")
    run = reranker.rerank(queries, candidates, corpus)
    assert {name: sorted(run.doc_ids(name)) for name in "ab"} == {name: list("0123") for name in "ab"}
    assert run["none"] == ()
    alone = reranker.rank(queries[1], [corpus[name] for name in "0123"])
    assert run.doc_ids("b") == [item.doc_id for item in alone]
    assert len(reranker.rerank(queries[:1], candidates, corpus, top_k=2)["a"]) == 2
    with pytest.raises(InputError, match="'3' of query 'a'"):
        reranker.rerank(queries, candidates, {name: corpus[name] for name in "012"})


def test_a_stream_gives_each_query_as_it_is_done(reranker: Reranker) -> None:
    corpus = {"0": Document("0", TEXTS[0])}
    candidates = Run({"a": [ScoredDoc("a", "0", 1.0)], "b": [ScoredDoc("b", "0", 1.0)]}, tag="first")
    asked = []

    def queries() -> object:
        for name in "ab":
            asked.append(name)
            yield Query(name, "Where is the red fox?")

    stream = reranker.stream(queries(), candidates, corpus)  # type: ignore[arg-type]
    assert next(stream)[0].query_id == "a"
    assert asked == ["a"]
    assert next(stream)[0].query_id == "b"


def test_the_async_twins_give_the_same_and_leave_the_loop_free(reranker: Reranker) -> None:
    corpus = {str(n): Document(str(n), text) for n, text in enumerate(TEXTS)}
    candidates = Run({"q": [ScoredDoc("q", name, -float(name)) for name in corpus]}, tag="first")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def both() -> list[object]:
        ticking = asyncio.create_task(tick())
        two = await asyncio.gather(reranker.arank(QUERY, TEXTS), reranker.arank(QUERY, TEXTS))
        streamed = [ranking async for _, ranking in reranker.astream([QUERY], candidates, corpus)]
        ticking.cancel()
        return [*two, *streamed]

    expected = reranker.rank(QUERY, TEXTS)
    assert asyncio.run(both()) == [expected] * 3
    assert ticks > 3


def test_rerankers_on_one_engine_compute_one_call_at_a_time(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    model, encoder = load_model(files, precision="bfloat16"), PromptEncoder(load_tokenizer(files), PromptSettings())
    engine, entered, most = TransformersEngine(model), list[int](), list[int]()

    def enter(*_: object) -> None:
        entered.append(1)
        most.append(len(entered))
        time.sleep(0.005)

    model.register_forward_pre_hook(enter)
    model.register_forward_hook(lambda *_: entered.pop() and None)
    rerankers = [Reranker.on(engine, encoder, mode=mode, max_reasoning_tokens=4) for mode in ("score", "reason")]
    expected = [reranker.rank(QUERY, TEXTS) for reranker in rerankers]
    before = engine.work

    async def both() -> list[object]:
        return [*await asyncio.gather(*[reranker.arank(QUERY, TEXTS) for reranker in rerankers])]

    assert asyncio.run(both()) == expected
    assert engine.work - before == before
    assert max(most) == 1


def test_a_peft_adapter_and_a_merged_model_score_as_the_artifact(
    tiny_adapter: Path, tmp_path: Path, reranker: Reranker
) -> None:
    shutil.copytree(tiny_adapter / "adapter", tmp_path / "peft")
    reranker.engine.model.save_pretrained(tmp_path / "merged")  # type: ignore[attr-defined]
    load_tokenizer(find_base(tiny_adapter)).save_pretrained(tmp_path / "merged")
    # Texts short enough for the default settings and the adapter's to make the same prompts.
    expected = scores(reranker.rank(QUERY, TEXTS))
    for folder in ("peft", "merged"):
        assert scores(Reranker(tmp_path / folder).rank(QUERY, TEXTS)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_adapter_without_a_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="base_model_name_or_path"):
        Reranker(tmp_path)


class WithoutLabels(TransformersEngine):
    """An engine that tells no logits, as chat endpoints."""

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset({"schema"})


@pytest.mark.parametrize("mode", ["score", "explain", "reason"])
def test_a_mode_that_needs_more_than_the_engine_has_is_refused(tiny_folder: Path, mode: str) -> None:
    files = find_model(str(tiny_folder))
    encoder = PromptEncoder(load_tokenizer(files), PromptSettings())
    with pytest.raises(InputError, match=f"mode {mode} .*label_logits and token_ids"):
        Reranker.on(WithoutLabels(load_model(files)), encoder, mode=mode)  # type: ignore[arg-type]
