"""generate is killed while explanations are written and marked: nothing stored is asked again, the end is the same."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.stages.test_generate_resume import kept, stored
from tests.stages.test_resume import digests, killed_when, run
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import command
from tests.support.explaining import answer, explained
from tests.support.stub import Answer, Stub, serving

KILLS = 3
IN_FLIGHT = 4
RECIPE = f"""
stage: generate
teacher:
  model: served
  engine: openai
  grades: given
  server: {{urls: [URL], api: chat, in_flight: {IN_FLIGHT}}}
explanations: {{samples: 3, student: STUDENT, student_samples: 1, max_tokens: 40, pairs: 20}}
prompt: {{order: grade_first, max_length: 400, max_query_tokens: 64, max_document_tokens: 64}}
"""


@pytest.mark.slow
def test_killed_and_gone_on_with_the_end_is_the_same(tiny_adapter: Path, tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    def slowly(number: int, body: dict[str, Any]) -> Answer:
        asked[json.dumps([body["messages"], body.get("seed")])] += 1
        time.sleep(0.02)
        return answer(number, body)

    stub = Stub(slowly)
    judged = judgments_artifact(tmp_path / "judged", [explained(item) for item in rule.examples(3, queries=5)])
    arguments = [f"judgments={judged}"]
    recipe, whole, broken = tmp_path / "recipe.yaml", tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    for out in (whole, broken):
        out.parent.mkdir()
    with serving(stub):
        recipe.write_text(RECIPE.replace("URL", stub.url).replace("STUDENT", str(tiny_adapter)))
        run(command("generate", recipe, whole, *arguments))
        once = sum(asked.values())
        # Two more explanations of the teacher's, and two orders; the student is asked elsewhere.
        assert once == len(asked) > 60, "two documents of one text are one question"
        rng = random.Random(time.time_ns())
        # Early enough that the command does not end before it is killed, on a busy machine too.
        moments = sorted(rng.sample(range(1, once // 2), KILLS))
        print(f"killed at {moments} of {once} stored replies")
        for place, number in enumerate(moments):
            before = kept(broken)
            flags = ["--resume"] if place else []
            killed_when([*command("generate", recipe, broken, *arguments), *flags], stored(broken, number))
            assert before.items() <= kept(broken).items(), "a stored reply was lost or replaced"
        run([*command("generate", recipe, broken, *arguments), "--resume"])
    assert digests(broken) == digests(whole)
    repeats = sum(asked.values()) - once - len(asked)
    assert repeats <= KILLS * IN_FLIGHT, "only what was under way is asked again"
