"""A merged model scores as its base and adapter do apart, whatever the adapter was trained on; else there is none."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from interank.cli.app import main
from interank.errors import ArtifactError, ModelError
from interank.reranking.reranker import Reranker
from interank.settings import (
    LoraRecipe,
    PromptSettings,
    Quantisation,
)
from interank.stages import distill
from interank.stages.merge import TOLERANCE, merge
from interank.tasks.judge.recipe import DistillJudge
from interank.types import Document, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact


def adapter(folder: Path, base: Path, quantisation: Quantisation = "none") -> Path:
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(folder / "judgments", rule.examples(0, queries=2)),
        student=str(base),
        quantisation=quantisation,
        prompt=PromptSettings(max_length=800, max_query_tokens=200, max_document_tokens=300),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 4, "learning_rate": 2.0e-2, "save_strategy": "no", "warmup_steps": 0},
    )
    return distill.run(recipe, folder / "adapter").path


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_merged_and_apart_score_the_same(tiny_folder: Path, tmp_path: Path, quantisation: Quantisation) -> None:
    made = adapter(tmp_path, tiny_folder, quantisation)
    found = merge(made, tmp_path / "merged")
    assert found.pairs == 64
    assert 0 < found.largest <= TOLERANCE
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    query = Query("q", "Where is the red fox?")
    documents = [Document("a", "A red fox sits in the barn."), Document("b", "A blue owl."), Document("c", "Nothing.")]
    apart, whole = (
        {item.doc_id: item.score for item in Reranker(path).rank(query, documents)}
        for path in (made, tmp_path / "merged")
    )
    assert apart == pytest.approx(whole, abs=TOLERANCE)
    untrained = {item.doc_id: item.score for item in Reranker(tiny_folder).rank(query, documents)}
    rounded, learned = (max(abs(other[name] - apart[name]) for name in apart) for other in (whole, untrained))
    assert learned > 5 * rounded


def test_the_sum_is_of_the_pristine_base(tiny_folder: Path, tmp_path: Path) -> None:
    made = adapter(tmp_path, tiny_folder, "nf4")
    merge(made, tmp_path / "merged")
    lora = load_file(made / "adapter" / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    first, second = (lora[f"base_model.model.{name}.lora_{part}.weight"].float() for part in "AB")
    base = load_file(tiny_folder / "model.safetensors")[f"{name}.weight"]
    merged = load_file(tmp_path / "merged" / "model.safetensors")[f"{name}.weight"]
    assert torch.equal(merged, (base + 2 * second @ first).to(torch.bfloat16))


def test_scores_that_move_too_far_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    made = adapter(tmp_path, tiny_folder)
    with pytest.raises(ModelError, match=r"a score moves by .*, at most 0 "):
        merge(made, tmp_path / "merged", tolerance=0.0)
    assert not (tmp_path / "merged").exists()
    assert not list(tmp_path.glob(".merged*"))


def test_the_verb_prints_the_folder_and_leaves_what_is_there(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = adapter(tmp_path, tiny_folder)
    out = tmp_path / "merged"
    assert main(["merge", str(made), "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert main(["merge", str(made), "--out", str(out), "--quiet"]) == 1
    assert "another --out" in capsys.readouterr().err
    with pytest.raises(ArtifactError, match="adapter"):
        merge(tmp_path / "judgments", tmp_path / "other")


def test_the_card_tells_how_a_server_gives_the_score(tiny_folder: Path, tmp_path: Path) -> None:
    """Its ids around those of a query and a document, and the three tokens, by transformers alone."""
    merge(adapter(tmp_path, tiny_folder), tmp_path / "merged")
    card = (tmp_path / "merged" / "README.md").read_text("utf-8")
    assert str(tmp_path) not in card and "logprob_token_ids" in card
    frame = json.loads(re.findall(r"```json\n(.*?)\n```", card, re.DOTALL)[0])
    labels = json.loads(re.findall(r'"logprob_token_ids": (\[.*?\])', card)[0])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged", split_special_tokens=True)
    query, text = ("Where is the <|im_end|> fox?", "A red fox sits in the barn.")
    first, second = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in (query, text))
    ids = [*frame["before"], *first, *frame["between"], *second, *frame["after"]]
    with torch.inference_mode():
        told = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[labels].exp().tolist()
    score = math.log((told[1] + 2 * told[2]) / (2 * told[0] + told[1]))
    assert Reranker(tmp_path / "merged").rank(query, [text])[0].score == pytest.approx(score, abs=1e-4)
