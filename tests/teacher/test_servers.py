"""Annotation on two real `vllm serve` processes, one killed midway: nothing is lost, nothing graded by default."""

from __future__ import annotations

import importlib.util
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interank.engines.local import LocalTeacher
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Teacher
from interank.engines.transformers import TransformersEngine
from interank.errors import ModelError
from interank.settings import (
    BudgetRecipe,
    PromptSettings,
    ServerRecipe,
    TeacherRecipe,
)
from interank.teacher.annotate import Annotator, Outcome, Rejection, TeacherJudgment
from interank.teacher.budget import Meter
from interank.teacher.replies import Asker, ReplyStore
from interank.types import Pair
from tests.support import rule
from tests.support.servers import VllmServer
from tests.support.tiny import strong_model

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; `make vllm` installs its build for CPUs"
)
IN_FLIGHT = 8
PROMPT = PromptSettings(max_length=400, max_query_tokens=64, max_document_tokens=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strong_model(tmp_path_factory.mktemp("models") / "strong", hidden=128)


@pytest.fixture(scope="module")
def servers(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[VllmServer]]:
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        started = [stack.enter_context(VllmServer(model, folder / f"{number}.log")) for number in range(2)]
        for server in started:
            server.wait()
        yield started


def pairs() -> list[Pair]:
    return [
        Pair(example.query, example.document, "train", "answer", example.source)
        for example in rule.examples(4, queries=12, documents=8)
    ]


def annotator(model: Path, teacher: Teacher, store: ReplyStore, grades: str) -> Annotator:
    settings = TeacherRecipe.model_validate(
        {"model": str(model), "grades": grades, "max_reasoning_tokens": 24, "batch_size": 16}
    )
    encoder = PromptEncoder(load_tokenizer(find_model(str(model))), PROMPT)
    return Annotator(Asker(teacher, store, None, Meter(BudgetRecipe(), None)), settings, PROMPT, encoder, 0)


def plain(outcome: Outcome) -> tuple[str, object]:
    """An outcome without its last digits."""
    if isinstance(outcome, TeacherJudgment):
        return outcome.judgment.reasoning, outcome.judgment.relevance
    assert isinstance(outcome, Rejection), "a pair was lost"
    return outcome.reply, outcome.reason.partition(" hold ")[0]


def kept(path: Path) -> int:
    with sqlite3.connect(path, timeout=10) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0])


@needs_vllm
@pytest.mark.slow
def test_a_server_that_is_killed_midway_loses_nothing(
    model: Path, servers: list[VllmServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="interank")
    work = pairs()
    engine = LocalTeacher(TransformersEngine(load_model(find_model(str(model)))), "local", unit_size=16)
    expected = {
        grades: annotator(model, engine, ReplyStore(tmp_path / f"local-{grades}.sqlite"), grades).annotate(work)
        for grades in ("votes", "teacher")
    }
    teacher = OpenAiTeacher(
        "teacher",
        ServerRecipe(urls=tuple(server.url for server in servers), in_flight=IN_FLIGHT, attempts=3, longest_wait=1.0),
    )
    assert "label_logits" in teacher.abilities, "vllm serve was not recognised as taking token ids"
    store = ReplyStore(tmp_path / "replies.sqlite")
    asking = annotator(model, teacher, store, "votes")

    def kill_midway() -> None:
        while kept(store.path) < len(work) // 4:
            time.sleep(0.005)
        servers[1].kill()

    # A daemon: where annotation fails, nothing waits for it.
    killer = threading.Thread(target=kill_midway, daemon=True)
    killer.start()
    outcomes = asking.annotate(work)
    killer.join()
    assert any(servers[1].url in record.getMessage() for record in caplog.records), "it had nothing to do when killed"
    assert [plain(outcome) for outcome in outcomes] == [plain(outcome) for outcome in expected["votes"]]
    assert sum(isinstance(outcome, TeacherJudgment) for outcome in outcomes) > 0

    # A random model was not about to write a label: whoever graded such replies by default would not reject them.
    graded = annotator(model, teacher, store, "teacher").annotate(work)
    assert [plain(outcome) for outcome in graded] == [plain(outcome) for outcome in expected["teacher"]]
    assert all(isinstance(outcome, Rejection) and "of the probability" in outcome.reason for outcome in graded)

    servers[0].kill()
    again = annotator(model, teacher, store, "votes")
    assert again.annotate(work) == outcomes
    assert (again.asker.asked.sent, again.asker.asked.replayed) == (0, len(work))
    with pytest.raises(ModelError, match=r"every server failed .*--resume"):
        annotator(model, teacher, ReplyStore(tmp_path / "empty.sqlite"), "votes").annotate(work[:4])
