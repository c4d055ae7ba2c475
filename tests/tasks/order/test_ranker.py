"""A listwise reranker: what it shows, what it reads, what becomes of answers that cannot be read, on any engine."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from interank import Reranker
from interank.engines.models import find_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import ArtifactError, InputError
from interank.settings import ListPromptSettings, PromptSettings
from interank.settings.listwise import ListForm
from interank.tasks.order import ordering
from interank.tasks.order.ordering import Repairs
from interank.types import Document, Query, Run, ScoredDoc
from tests.support.oracle import OracleEngine, Said, exact
from tests.support.rankers import windows_of
from tests.support.stub import Answer, Stub, refused, serving
from tests.support.stub import said as replied
from tests.support.tiny import strong_model, tiny_tokenizer

QUERY = Query("q", "What is worth most?")
VALUES = random.Random(0).sample(range(100), 100)
DOCUMENTS = [Document(f"id-{value}", f"This is worth {value}.") for value in VALUES]
_ENCODER = PromptEncoder(tiny_tokenizer(), PromptSettings())


def reranker(said: Said = exact, *, chat: bool = False, **lists: Any) -> tuple[Reranker, OracleEngine]:
    engine = OracleEngine(_ENCODER, said, chat=chat)
    return Reranker.on(engine, _ENCODER, mode="listwise", max_reasoning_tokens=300, lists=lists), engine


def briefly(values: list[int]) -> str:
    """The order alone."""
    return ordering.answer(sorted(range(len(values)), key=lambda position: -values[position]))


def ids(ranking: list[Any]) -> list[str]:
    return [item.doc_id for item in ranking]


def best(count: int, among: list[Document] = DOCUMENTS) -> list[str]:
    return ids(sorted(among, key=lambda document: -int(document.doc_id[3:])))[:count]


def test_the_best_rise_to_the_front_of_one_total_order() -> None:
    ranks, engine = reranker()
    ranking = ranks.rank(QUERY, DOCUMENTS)
    assert ids(ranking)[:10] == best(10)
    assert sorted(ids(ranking)) == sorted(ids(DOCUMENTS))
    assert [item.score for item in ranking] == [float(score) for score in range(100, 0, -1)]
    assert all(item.relevance is None and item.probabilities is None for item in ranking)
    assert (ranks.counts.answers, ranks.counts.unreadable, ranks.counts.repairs) == (9, 0, Repairs())
    assert not [text for text in engine.read if "id-" in text]


@pytest.mark.parametrize(("method", "batches"), [("sliding", [1] * 9), ("tournament", [5, 1]), ("top_down", [1, 5, 1])])
def test_windows_that_do_not_wait_for_each_other_are_asked_together(method: str, batches: list[int]) -> None:
    ranks, engine = reranker(method=method)
    assert ids(ranks.rank(QUERY, DOCUMENTS))[0] == best(1)[0]
    assert engine.together == batches


def test_what_was_thought_names_documents_by_their_ids() -> None:
    ranks, engine = reranker()
    ranking = ranks.rank(QUERY, DOCUMENTS[:3])
    assert ranking[0].explanation is not None
    first, second = DOCUMENTS[0].doc_id, DOCUMENTS[1].doc_id
    assert f"[{first}] is not" in ranking[0].explanation
    assert f"[{second}] > [{first}] may be." in ranking[0].explanation
    assert ranking[1].explanation is None
    assert len(engine.read) == 1


def test_documents_are_shown_in_the_order_given_and_one_alone_is_not_asked_about() -> None:
    ranks, engine = reranker()
    ranks.rank(QUERY, DOCUMENTS[:2])
    assert f"[1] {DOCUMENTS[0].text}\n\n[2] {DOCUMENTS[1].text}" in engine.read[0]
    assert ids(ranks.rank(QUERY, DOCUMENTS[:1])) == [DOCUMENTS[0].doc_id]
    assert ranks.rank(QUERY, []) == []
    assert len(engine.read) == 1


def test_an_answer_that_cannot_be_read_keeps_the_order_and_is_counted() -> None:
    ranks, _ = reranker(lambda values: "Step 1: I need 3 facts. Step 2: [2] has 5 of them.")
    assert ids(ranks.rank(QUERY, DOCUMENTS[:30])) == ids(DOCUMENTS[:30])
    assert (ranks.counts.answers, ranks.counts.unreadable, ranks.counts.unranked) == (2, 2, 2)


def test_a_lost_and_a_doubled_document_are_mended_in_the_window_s_order() -> None:
    ranks, _ = reranker(lambda values: "Ranking: [3] > [3] > [2] > [9]")
    ranking = ranks.rank(QUERY, DOCUMENTS[:4])
    assert ids(ranking) == ids([DOCUMENTS[2], DOCUMENTS[1], DOCUMENTS[0], DOCUMENTS[3]])
    assert ranks.counts.repairs == Repairs(repeated=1, outside=1, missing=2)
    assert ranks.counts.repaired == 1


def test_shuffles_take_the_power_from_the_first_places() -> None:
    def biased(values: list[int]) -> str:
        # Half by value, half by place.
        order = sorted(range(len(values)), key=lambda position: -values[position] + 8 * position)
        return ordering.answer(order)

    weak = sorted(DOCUMENTS, key=lambda document: int(document.doc_id[3:]))[::5]
    once, _ = reranker(biased)
    often, engine = reranker(biased, shuffles=15)
    truth = best(20, weak)

    def error(found: list[str]) -> int:
        return sum(abs(found.index(name) - place) for place, name in enumerate(truth))

    assert error(ids(often.rank(QUERY, weak))) < error(ids(once.rank(QUERY, weak))) / 2
    assert engine.together == [15]
    assert often.counts.answers == 15


def test_of_several_answers_the_readable_ones_count() -> None:
    turns = iter(["no ranking here", ordering.answer([1, 0, 2]), "nor here"])
    ranks, _ = reranker(lambda values: next(turns), shuffles=3)
    ranking = ranks.rank(QUERY, DOCUMENTS[:3])
    assert (ranks.counts.answers, ranks.counts.unreadable, ranks.counts.unranked) == (3, 2, 0)
    assert ids(ranking) != ids(DOCUMENTS[:3])


def test_long_documents_share_the_room_and_each_tells_what_it_lost() -> None:
    ranks, engine = reranker(prompt={"max_length": 1400, "max_document_tokens": 400})
    long = [Document(f"id-{n}", f"This is worth {n}. " + "and on " * (300 if n < 5 else 1)) for n in range(10)]
    ranking = ranks.rank(QUERY, long)
    assert ids(ranking) == [f"id-{n}" for n in range(9, -1, -1)]
    assert {item.doc_id: item.truncated > 0 for item in ranking} == {f"id-{n}": n < 5 for n in range(10)}
    assert "Write every number exactly once." in engine.read[0]


@pytest.mark.parametrize("form", ["reason", "direct", "dear"])
def test_every_form_is_asked_in_ids_and_in_messages_alike(form: ListForm) -> None:
    prompt = {"form": form, "max_length": 20_000}
    said: Said = briefly if form == "direct" else exact
    by_ids, one = reranker(said, prompt=prompt)
    by_messages, other = reranker(said, chat=True, prompt=prompt)
    assert by_ids.rank(QUERY, DOCUMENTS[:30]) == by_messages.rank(QUERY, DOCUMENTS[:30])
    assert len(one.read) == len(other.read) == 2


def test_queries_make_a_run() -> None:
    ranks, _ = reranker()
    corpus = {document.doc_id: document for document in DOCUMENTS}
    candidates = Run({"q": [ScoredDoc("q", d.doc_id, -float(n)) for n, d in enumerate(DOCUMENTS)]}, tag="first")
    run = ranks.rerank([QUERY], candidates, corpus, top_k=5)
    assert run.doc_ids("q") == best(5)


def test_what_belongs_to_grades_is_refused() -> None:
    ranks, _ = reranker()
    with pytest.raises(InputError, match="orders documents"):
        next(ranks.graded(QUERY, DOCUMENTS))
    with pytest.raises(InputError, match=r"settings of lists .*mode is score"):
        Reranker.on(OracleEngine(_ENCODER), _ENCODER, lists={"window": 5})
    with pytest.raises(InputError, match="lists: windows: "):
        reranker(windows=5)
    with pytest.raises(InputError, match="lists: step: 20 "):
        reranker(step=20)


def test_a_window_that_does_not_fit_is_refused_with_what_to_do() -> None:
    ranks, _ = reranker(prompt={"max_length": 500})
    with pytest.raises(InputError, match=r"no room for 20 documents.* take a smaller window"):
        ranks.rank(QUERY, DOCUMENTS[:20])


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as LLaMA-Factory saves one: DeAR's card's rank and modules, the tokenizer with its chat template
    beside it, on a base whose own tokenizer has none."""
    folder = tmp_path_factory.mktemp("released")
    base = strong_model(folder / "base")
    shutil.copytree(base, folder / "template")
    tokenizer = load_tokenizer(find_model(str(base)))
    tokenizer.chat_template = None
    for file in base.glob("chat_template*"):
        file.unlink()
    tokenizer.save_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    modules = ["q_proj", "v_proj", "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=modules, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    adapted.save_pretrained(folder / "adapter")
    file = folder / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": str(base)}))
    load_tokenizer(find_model(str(folder / "template"))).save_pretrained(folder / "adapter")
    return folder / "adapter"


LISTS = {"window": 4, "step": 2, "prompt": {"form": "dear", "max_document_tokens": 12}}
FEW = DOCUMENTS[:6]


def opened(source: Path, **more: Any) -> Reranker:
    return Reranker(source, mode="listwise", max_reasoning_tokens=8, lists=LISTS, **more)


def prompt_of(ranks: Reranker) -> list[str]:
    """What the model writes about the first window."""
    return windows_of(ranks).texts(QUERY, [FEW[:4]])[0]


def test_a_released_adapter_loads_with_its_own_tokenizer(released: Path) -> None:
    ranks = opened(released)
    assert windows_of(ranks).encoder.encoder.tokenizer.chat_template
    assert sorted(ids(ranks.rank(QUERY, FEW))) == sorted(ids(FEW))
    assert ranks.counts.answers == 2
    plain = Reranker(released.parent / "base", mode="listwise", max_reasoning_tokens=8, lists=LISTS)
    assert windows_of(plain).encoder.encoder.tokenizer.chat_template is None
    assert prompt_of(plain) != prompt_of(ranks)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_released_adapter_loads_in_4_bits(released: Path) -> None:
    ranks = opened(released, precision="nf4")
    kinds = {type(module).__name__ for module in ranks.engine.model.modules()}  # type: ignore[attr-defined]
    assert "Linear4bit" in kinds
    assert sorted(ids(ranks.rank(QUERY, FEW))) == sorted(ids(FEW))


def test_the_prompts_of_a_short_model_are_no_longer_than_it_reads(released: Path) -> None:
    ranks = Reranker(released, mode="listwise")
    assert windows_of(ranks).encoder.settings.max_length == 1024


def test_an_adapter_of_the_other_kind_is_refused(tiny_adapter: Path) -> None:
    with pytest.raises(ArtifactError, match=r"single documents.*mode score"):
        Reranker(tiny_adapter, mode="listwise")


def listwise_artifact(tiny_adapter: Path, folder: Path, **prompt: Any) -> Path:
    """The adapter as if it had been trained on lists."""
    shutil.copytree(tiny_adapter, folder)
    file = folder / "manifest.json"
    settings = ListPromptSettings(max_length=900, **prompt)
    told = {"task": "order", "prompt": settings.model_dump(mode="json")}
    told |= {"prompt_hash": ordering.prompt_hash(settings.form)}
    file.write_text(json.dumps(json.loads(file.read_text()) | told))
    return folder


def test_an_adapter_trained_on_lists_is_asked_as_it_was_trained(tiny_adapter: Path, tmp_path: Path) -> None:
    source = listwise_artifact(tiny_adapter, tmp_path / "lists", form="direct")
    ranks = Reranker(source, mode="listwise", max_reasoning_tokens=4, lists={"window": 4, "step": 2})
    assert windows_of(ranks).encoder.settings == ListPromptSettings(form="direct", max_length=900)
    assert len(ranks.rank(QUERY, FEW)) == 6
    with pytest.raises(ArtifactError, match=r"lists.*mode listwise"):
        Reranker(source)
    with pytest.raises(ArtifactError, match=r"form direct.* dear"):
        Reranker(source, mode="listwise", lists={"prompt": {"form": "dear"}})


def chats(answer: Callable[[str], str]) -> Callable[[int, dict[str, Any]], Answer]:
    def reply(number: int, body: dict[str, Any]) -> Answer:
        if "messages" not in body:
            return refused(404, "no such path")
        return replied(answer(body["messages"][-1]["content"]))

    return reply


def test_a_server_that_takes_messages_only_ranks_lists(tiny_folder: Path) -> None:
    stub = Stub(chats(lambda prompt: exact([int(part.split(".")[0]) for part in prompt.split("worth ")[1:]])))
    with serving(stub):
        ranks = Reranker(tiny_folder, mode="listwise", engine="openai", server=stub.url, lists={"window": 5, "step": 2})
        ranking = ranks.rank("Which is it?", DOCUMENTS[:9])
    assert ids(ranking)[:3] == best(3, DOCUMENTS[:9])
    assert ranks.counts.answers == 3
    assert ranks.counts.unreadable == 0
