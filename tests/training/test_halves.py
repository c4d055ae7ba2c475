"""Half of the validation questions choose the adapter, the other half say how good it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import PromptSettings
from interank.tasks.judge.trial import AnswerTrial
from interank.training.halves import REPORTED, counted, places, reporting
from tests.support import rule

QUESTIONS = [f"q{number}" for number in range(9)]


def test_half_of_the_questions_report_and_the_seed_says_which() -> None:
    chosen = reporting(QUESTIONS, 1)
    assert len(chosen) == 4
    assert chosen < {*QUESTIONS}
    assert chosen == reporting(reversed([*QUESTIONS, *QUESTIONS]), 1)
    assert len({reporting(QUESTIONS, seed) for seed in range(8)}) > 1
    assert len(reporting(QUESTIONS[:4], 1)) == 2
    # Too few to be halved.
    assert not reporting(QUESTIONS[:3], 1)


def test_each_document_stands_in_the_half_of_its_question() -> None:
    halves = places(["a", "b", "a", "c"], {"a", "z"})
    assert halves == {"": [1, 3], REPORTED: [0, 2]}
    assert counted(["a", "b", "a", "c"], {"a", "z"}) == {"choosing": 2, "reporting": 1}
    assert places(["a"], ()) == {"": [0]}


def test_a_trial_tells_of_each_half_what_a_trial_of_it_alone_would(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    encoder = PromptEncoder(
        load_tokenizer(files), PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60)
    )
    model = load_model(files)
    examples = rule.examples(0, queries=4, documents=4)
    reported = reporting((item.query.query_id for item in examples), 3)

    def figures(report: bool | None) -> dict[str, float]:
        some = [item for item in examples if report is None or (item.query.query_id in reported) == report]
        trial = AnswerTrial(
            encoder,
            some,
            order="grade_first",
            tokens=12,
            explained=0,
            reporting=reported if report is None else (),
        )
        return trial(model)

    both, chose, told = figures(None), figures(False), figures(True)
    assert {name for name in both if not name.startswith(REPORTED)} == set(chose)
    for name in chose:
        assert both[name] == pytest.approx(chose[name], abs=1e-6)
        assert both[REPORTED + name] == pytest.approx(told[name], abs=1e-6)
    assert any(abs(chose[name] - told[name]) > 1e-3 for name in chose)
