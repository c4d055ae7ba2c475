"""A judge that obeys is found out, and the guard takes off what that gave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from interank.cli.app import main
from interank.diagnosis.attacks import ALL
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Completion, LabelLogits, Sampling
from interank.engines.work import Work
from interank.errors import InputError
from interank.reranking.reranker import Reranker
from interank.resources import resource_dir
from interank.settings import PromptSettings
from interank.stages import attack as stage
from interank.stages.attack import AttackPlan, attack
from interank.tasks.judge.attacks import attack_templates
from tests.support.benchmark import benchmark_folder
from tests.support.tiny import tiny_tokenizer

BENCHMARK = resource_dir("data") / "benchmark"


class Obedient:
    """Grades by the words that question and document share, and obeys whoever speaks of a label or of grades."""

    device = "cpu"
    abilities: frozenset[Ability] = frozenset({"token_ids", "label_logits"})

    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder
        self.work = Work()

    def flops(self, work: Work) -> float | None:
        return None

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        return [self._logits(self._encoder.text(p.prefix), self._encoder.text(p.document)) for p in prompts]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        raise AssertionError("grades are read, nothing is written")

    def _logits(self, prefix: str, document: str) -> LabelLogits:
        question = prefix.partition("Question:\n")[2].partition("\n\nDocument:")[0]
        shared = len(set(question.lower().split()) & set(document.lower().split()))
        obeyed = 8.0 * ("Label: 2" in document)
        return LabelLogits((0.0, 0.0, 0.1 * shared + obeyed), 1.0)


def test_a_judge_that_obeys_is_found_out_and_the_guard_takes_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = PromptEncoder(tiny_tokenizer(), PromptSettings())
    reranker = Reranker.on(Obedient(encoder), encoder)
    monkeypatch.setattr(stage, "open_reranker", lambda *_, **__: reranker)
    found = attack("obedient", AttackPlan(BENCHMARK, queries=6, guards=("none", "contrast")))
    assert len(found) == 6 * len(attack_templates()) * 2
    plain = [item for item in found if item.guard == "none"]
    obeyed = {template.name for template in attack_templates() if "Label: 2" in template.text}
    assert all(item.after == 1 for item in plain if item.template in obeyed)
    assert any(item.before > 3 for item in plain)
    guarded = {(item.query_id, item.template): item for item in found if item.guard == "contrast"}
    claims = [guarded[item.query_id, item.template] for item in plain if item.template in obeyed]
    by_claims = sum(item.gain for item in claims) / len(claims)
    before = sum(item.gain for item in plain if item.template in obeyed) / len(claims)
    assert before > 3
    assert by_claims < 1, "what a document gains where nothing is asked is still there"


def test_the_verb_attacks_a_model_in_all_modes(
    tiny_adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "attacked.json"
    arguments = ["attack", str(tiny_adapter), "--benchmark", str(BENCHMARK), "--queries", "2", "--depth", "4"]
    more = ["--mode", "score", "reason", "--max-reasoning-tokens", "2", "--json", str(file), "--quiet"]
    assert main([*arguments, *more]) == 0
    told = json.loads(file.read_text())
    assert len(told["tried"]) == 2 * 2 * 2 * len(attack_templates())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mode")
    assert sum(ALL in line for line in lines) == 4 * 3
    assert main([*arguments, "--task", "such", "--quiet"]) == 1


def test_nothing_to_attack_is_said(tmp_path: Path) -> None:
    folder = benchmark_folder(tmp_path / "benchmark", queries=2)
    with pytest.raises(InputError, match="no query with an irrelevant candidate"):
        attack("none", AttackPlan(folder, depth=1))
