"""Servers and models that give what cannot be used: every such pair is rejected with its reason, also after a kill."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch
from transformers import LlamaForCausalLM

from interank.cli.app import main
from interank.engines.local import LocalTeacher
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Failure, LabelLogits, Reply, Request, Sampling
from interank.engines.transformers import TransformersEngine
from interank.errors import ModelError
from interank.reranking.reranker import Reranker
from interank.resources import resource_dir
from interank.settings import (
    BudgetRecipe,
    PromptSettings,
    TeacherRecipe,
)
from interank.teacher.annotate import Annotator, Rejection, TeacherJudgment
from interank.teacher.budget import Meter
from interank.teacher.replies import Asker, ReplyStore
from interank.types import Document, Pair, Query, Source
from tests.stages.test_generate_resume import stored
from tests.stages.test_resume import command, digests, killed_when, run
from tests.support.faulty import CHATS, LABELLED, WRITTEN, chat, graded, tokens
from tests.support.stub import Answer, Content, Stub, serving

DUMPS = resource_dir("data") / "stackexchange"
RECIPE = """
stage: generate
decontaminate: false
mining: {questions: 12, documents_per_question: 4, validation_share: 0.2}
teacher:
  model: MODEL
  engine: openai
  server: {urls: [URL], api: API, in_flight: 5, attempts: 2, longest_wait: 0.01}
prompt: {order: grade_first, max_length: 1000, max_query_tokens: 64, max_document_tokens: 300}
"""


class FaultyTeacher:
    """Answers two requests of three soundly and the third with a fault, by its prompt: asking again is no help."""

    def __init__(self, folder: Path | None = None) -> None:
        tokenizer = load_tokenizer(find_model(str(folder))) if folder else None
        self.said = tokenizer("It says so.")["input_ids"] if tokenizer else []
        self.faults: dict[str, str] = {}
        """By prompt, what is wrong with its answer."""
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, number: int, body: dict[str, Any]) -> Answer:
        name = json.dumps([body.get("prompt"), body.get("messages")])
        mark = crc32(name.encode())
        content: Content
        if mark % 3:
            content, fault = self._sound(body, mark), ""
        elif "messages" in body:
            content, fault = list(CHATS.values())[mark // 3 % len(CHATS)]
        elif "logprob_token_ids" in body:
            made, fault = list(LABELLED.values())[mark // 3 % len(LABELLED)]
            content = made(body)
        else:
            content, fault = list(WRITTEN.values())[mark // 3 % len(WRITTEN)]
        # Slow enough to be killed between two replies.
        time.sleep(0.02)
        with self._lock:
            self.asked[name] += 1
            if fault:
                self.faults[name] = fault
        return 200, content, {}

    def _sound(self, body: dict[str, Any], mark: int) -> Content:
        if "messages" in body:
            return chat(f"Relevance Label: {mark % 2}\n\nReason {mark}.")
        return graded(body, -0.1, -3.0, -4.0) if "logprob_token_ids" in body else tokens(self.said)


@pytest.mark.slow
@pytest.mark.parametrize("api", ["chat", "tokens"])
def test_a_killed_generate_ends_with_the_sound_judged_and_the_others_rejected(
    tiny_folder: Path, tmp_path: Path, api: str
) -> None:
    teacher = FaultyTeacher(tiny_folder if api == "tokens" else None)
    stub = Stub(teacher)
    recipe, out, whole = tmp_path / "recipe.yaml", tmp_path / "broken" / "out", tmp_path / "whole" / "out"
    for folder in (out, whole):
        folder.parent.mkdir()
    model = str(tiny_folder) if api == "tokens" else "served"
    with serving(stub):
        recipe.write_text(RECIPE.replace("URL", stub.url).replace("MODEL", model).replace("API", api))
        killed_when(command("generate", recipe, out, f"dumps={DUMPS}"), stored(out, 8))
        run([*command("generate", recipe, out, f"dumps={DUMPS}"), "--resume"])
        assert main(["generate", str(recipe), f"dumps={DUMPS}", "--out", str(whole)]) == 0
    assert digests(out) == digests(whole)
    judged = [json.loads(line) for line in (out / "judgments.jsonl").read_text("utf-8").splitlines()]
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text("utf-8").splitlines()]
    assert len(judged) + len(rejected) == 48
    told = [row["reason"] for row in rejected if row["reason"].startswith("the server's reply")]
    assert len(told) == len(teacher.faults) >= 10, "a bad reply became a judgment"
    for fault in teacher.faults.values():
        assert any(fault in reason for reason in told), fault
    assert {row["relevance"] for row in judged} <= ({0, 1} if api == "chat" else {0})


BAD_ROWS: dict[str, Any] = {
    "no grade but NaN": {"labels": {"logits": [math.nan] * 3, "mass": math.nan}},
    "log-probabilities above 0": {"labels": {"logits": [900.0, 800.0, 700.0], "mass": 1e300}},
    "labels in words": {"labels": {"logits": ["a", "b", "c"], "mass": 1}},
    "an impossible id": {"ids": [10**30]},
    "an id that is a half": {"ids": [1.5]},
    "half a character": {"text": "Because \ud800 half."},
    "a number as text": {"text": 5},
    "usage of 10^15": {"read": 10**15},
    "usage below 0": {"written": -1_000_000_000},
    "a key too many": {"more": 1},
}


@pytest.mark.parametrize("where", ["own", "shared"])
@pytest.mark.parametrize(
    "row", [*BAD_ROWS.values(), "not JSON", "[" * 200_000, "[]", "7"], ids=lambda row: str(row)[:30]
)
def test_a_bad_reply_of_an_older_store_is_asked_for_anew(tmp_path: Path, row: Any, where: str) -> None:
    asked: list[Request] = []

    class Sound:
        identity, unit_size, vocabulary = "sound", 1, 900
        abilities: frozenset[Any] = frozenset({"token_ids"})

        def ask(self, units: Any) -> Any:
            for unit in units:
                asked.extend(unit)
                yield unit, (Reply((5, 6), read=3, written=2, labels=LabelLogits((0.1, 0.2, 0.3), 0.9)),)

    path = tmp_path / f"{where}.sqlite"
    request = Request(Prompt((1,), (2,), (3,)), Sampling(9), end=2)

    def opened() -> Asker:
        own, shared = ReplyStore(tmp_path / "own.sqlite"), ReplyStore(tmp_path / "shared.sqlite")
        return Asker(Sound(), own, shared, Meter(BudgetRecipe(tokens=1000), None, own.spent()))

    first = opened().replies([request])
    usual = {"ids": [5, 6], "text": "", "finished": True, "labels": None, "read": 3, "written": 2}
    text = row if isinstance(row, str) else json.dumps([usual | row])
    numbers = {"read": 3, "written": 2, **(row if isinstance(row, dict) else {})}
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE replies SET replies = ?, read = ?, written = ?", (text, numbers["read"], numbers["written"])
        )
    (tmp_path / ("shared" if where == "own" else "own")).with_suffix(".sqlite").unlink()
    assert opened().replies([request]) == first
    assert len(asked) == 2
    assert opened().replies([request]) == first
    assert len(asked) == 2, "what was asked anew was not kept in place of the bad one"
    assert ReplyStore(tmp_path / "own.sqlite").spent().read == 3


@pytest.fixture(scope="module")
def broken_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that computes no numbers behind the word `quartz`, and sound ones before it and elsewhere."""
    from tests.support.tiny import tiny_model

    folder = tiny_model(tmp_path_factory.mktemp("broken"), texts=["quartz and glass are stones"] * 50)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = load_tokenizer(find_model(str(folder)))(" quartz")["input_ids"]
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.model.embed_tokens.weight.data[ids[-1]] = math.nan
    model.save_pretrained(folder)
    return folder


def pairs() -> list[Pair]:
    texts = ["glass is hard", "a quartz stone", "stones and glass", "the quartz and the glass"]
    source = Source("s", "1", "", "", "")
    return [
        Pair(Query("q", "which stones?"), Document(f"d{place}", text), "train", "answer", source)
        for place, text in enumerate(texts)
    ]


@pytest.mark.parametrize("grades", ["votes", "teacher"])
@pytest.mark.parametrize("order", ["grade_first", "reason_first"])
def test_what_a_model_does_not_compute_is_rejected(broken_model: Path, tmp_path: Path, grades: str, order: str) -> None:
    prompt = PromptSettings.model_validate({"max_length": 900, "max_query_tokens": 32, "order": order})
    encoder = PromptEncoder(load_tokenizer(find_model(str(broken_model))), prompt)
    engine = TransformersEngine(load_model(find_model(str(broken_model))))
    asker = Asker(LocalTeacher(engine, "broken"), ReplyStore(tmp_path / "r.sqlite"), None, Meter(BudgetRecipe(), None))
    recipe = TeacherRecipe.model_validate({"model": "m", "grades": grades, "max_reasoning_tokens": 8})
    outcomes = Annotator(asker, recipe, prompt, encoder, 0).annotate(pairs())
    # A vote stays, without the explanation.
    faults = [item.unexplained if isinstance(item, TeacherJudgment) else item for item in outcomes]
    reasons = [item.reason if isinstance(item, Rejection) else "" for item in faults]
    assert not any(
        item.judgment.reasoning for item in outcomes if isinstance(item, TeacherJudgment) and item.unexplained
    )
    assert all(isinstance(outcomes[place], TeacherJudgment) == (grades == "votes") for place in (1, 3))
    assert all("nan" in reasons[place] for place in (1, 3))
    assert not any("nan" in reasons[place] for place in (0, 2)), "what stands beside it was lost too"


@pytest.mark.parametrize("mode", ["score", "explain", "reason"])
def test_a_ranking_of_what_a_model_does_not_compute_stops_and_names_the_document(broken_model: Path, mode: Any) -> None:
    reranker = Reranker(broken_model, mode=mode, max_reasoning_tokens=4)
    sound = [pair.document for pair in pairs() if "quartz" not in pair.document.text]
    assert len(reranker.rank("which stones?", sound)) == 2
    with pytest.raises(ModelError, match=r"query 'query', document 'd1': .*number 2 "):
        reranker.rank("which stones?", [pair.document for pair in pairs()])


def test_a_unit_that_fails_in_part_is_kept_in_no_part(broken_model: Path, tmp_path: Path) -> None:
    encoder = PromptEncoder(
        load_tokenizer(find_model(str(broken_model))), PromptSettings(max_length=900, max_query_tokens=32)
    )
    engine = TransformersEngine(load_model(find_model(str(broken_model))))
    asker = Asker(
        LocalTeacher(engine, "broken", unit_size=4), ReplyStore(tmp_path / "r"), None, Meter(BudgetRecipe(), None)
    )
    asked = [
        Request(encoder.prompt(pair.query, pair.document, answer_tokens=8), labels=encoder.label_ids)
        for pair in pairs()
    ]
    assert [isinstance(reply, Failure) for reply in asker.replies(asked)] == [False, True, False, True]
    assert asker.asked.failed == 2
    asker.replies(asked)
    assert asker.asked.sent == 8
