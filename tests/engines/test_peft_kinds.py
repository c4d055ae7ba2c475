"""Adapters of every kind rank as PEFT's own unmerged forward pass does, tied head or not, or are refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from interank import Reranker, judging
from interank.engines.heads import load_head, scores
from interank.errors import ModelError
from interank.settings import HeadSettings
from interank.stages.export import export
from interank.stages.merge import TOLERANCE, merge
from interank.types import Document, Query
from tests.support.peft_kinds import REFUSED, RIGHT, UNFOLDABLE, adapter_artifact, shaken_adapter, strong_base
from tests.support.rankers import judge_of
from tests.support.tiny_heads import tiny_adapter_head, tiny_base

QUERY = "why does bread collapse"
TEXTS = ["Steam softens the crumb.", "Coffee tastes sour.", "bread collapse"]
BASES = ("tied", "untied")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {name: strong_base(folder / name, tied=name == "tied") for name in BASES}


def ranked(source: Path) -> dict[str, float]:
    return {item.doc_id: item.score for item in Reranker(source).rank(QUERY, TEXTS)}


@torch.no_grad()
def wanted(model: Any, reranker: Reranker) -> dict[str, float]:
    """The scores by a model's own forward pass on the whole prompt."""
    found = {}
    judge = judge_of(reranker)
    prompts = judge.prompts(Query("query", QUERY), [Document(str(n), text) for n, text in enumerate(TEXTS)])
    for place, prompt in enumerate(prompts):
        ids = torch.tensor([prompt.then(judge.encoder.label_lead).ids])
        logits = model(input_ids=ids).logits[0, -1]
        found[str(place)] = judging.score([float(logits[label]) for label in judge.encoder.label_ids])
    return found


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", RIGHT)
def test_a_kind_ranks_as_peft_s_own_forward_pass(bases: dict[str, Path], tmp_path: Path, base: str, kind: str) -> None:
    model = shaken_adapter(tmp_path / "adapter", bases[base], RIGHT[kind]())
    reranker = Reranker(tmp_path / "adapter")
    expected = wanted(model, reranker)
    found = {item.doc_id: item.score for item in reranker.rank(QUERY, TEXTS)}
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    without = wanted(AutoModelForCausalLM.from_pretrained(bases[base], dtype=torch.float32), reranker)
    assert any(abs(score - without[doc_id]) > 0.01 for doc_id, score in expected.items())
    if kind not in UNFOLDABLE:
        assert type(reranker.engine.model) is type(model.get_base_model())  # type: ignore[attr-defined]
        reads_the_same_again(reranker.engine.model, model, tmp_path / "whole")  # type: ignore[attr-defined]


def reads_the_same_again(whole: Any, model: Any, folder: Path) -> None:
    """A folded model, written and read, has all its weights and gives the logits of the adapter apart."""
    whole.save_pretrained(folder)
    again, told = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    ids = torch.tensor([[5, 6, 7, 30, 31, 2, 40, 100, 200]])
    with torch.no_grad():
        expected, found = model(input_ids=ids).logits, again(input_ids=ids).logits
    assert not any(told.values())
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("kind", ["lora", "head", "embeddings", "whole head", "tokens", "replication"])
def test_merge_keeps_apart_what_an_adapter_of_one_end_has_parted(
    bases: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    model = adapter_artifact(tmp_path / "made", bases["tied"], RIGHT[kind]())
    merge(tmp_path / "made", tmp_path / "merged", tolerance=3 * TOLERANCE)
    with safe_open(tmp_path / "merged" / "model.safetensors", "pt") as weights:
        two = "lm_head.weight" in weights.keys()  # noqa: SIM118  # no mapping, for all its keys
    tied = json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"]
    assert (two, tied) == ((False, True) if kind in ("lora", "replication") else (True, False))
    expected = wanted(model, Reranker(tmp_path / "made"))
    assert ranked(tmp_path / "made") == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert ranked(tmp_path / "merged") == pytest.approx(expected, abs=3 * TOLERANCE)


@pytest.mark.parametrize("kind", sorted(UNFOLDABLE))
def test_what_cannot_be_merged_stays_separate(bases: dict[str, Path], tmp_path: Path, kind: str) -> None:
    adapter_artifact(tmp_path / "made", bases["tied"], RIGHT[kind]())
    with pytest.raises(ModelError, match=r"merged .*bias"):
        merge(tmp_path / "made", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_kind_of_another_make_is_refused(bases: dict[str, Path], tmp_path: Path, kind: str) -> None:
    settings, said = REFUSED[kind]
    shaken_adapter(tmp_path / "adapter", bases["tied"], settings())
    with pytest.raises(ModelError, match=said):
        Reranker(tmp_path / "adapter")


HEADS = ["lora", "dora", "patterns", "replication", "embeddings", "whole embeddings", "whole norms", "tokens", "ia3"]


@pytest.mark.parametrize("kind", [*HEADS, "loha", "norms"])
def test_a_head_s_adapter_scores_and_is_exported_as_peft_s_own_forward_pass(tmp_path: Path, kind: str) -> None:
    base, adapter = tiny_base(tmp_path / "base"), tmp_path / "adapter"
    tiny_adapter_head(adapter, base, HeadSettings(max_length=120))
    settings = RIGHT[kind]()
    settings.task_type = "SEQ_CLS"
    if settings.target_modules and "lm_head" in settings.target_modules:
        settings.target_modules.remove("lm_head")
    model = shaken_adapter(adapter, base, settings, kind=AutoModelForSequenceClassification, num_labels=1)
    head = load_head(adapter)
    pairs = [head.encoder.pair(Query("q", QUERY), Document("d", text)) for text in TEXTS]
    with torch.no_grad():
        expected = [float(model(input_ids=torch.tensor([pair.ids])).logits[0, 0]) for pair in pairs]
    assert scores(head, pairs).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert [ranked(adapter)[str(n)] for n in range(len(TEXTS))] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    if kind == "norms":
        with pytest.raises(ModelError, match=r"merged .*whole layers"):
            export(adapter, tmp_path / "exported")
        return
    export(adapter, tmp_path / "exported")
    assert [ranked(tmp_path / "exported")[str(n)] for n in range(len(TEXTS))] == pytest.approx(expected, abs=1e-4)
