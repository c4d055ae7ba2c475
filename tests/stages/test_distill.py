"""What a distilled artifact holds, with plain and with NF4 base weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from interank import judging
from interank.artifact import Workplace, create, open_artifact
from interank.engines.adapters import with_adapter
from interank.engines.judge import grade
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.errors import ArtifactError, InputError
from interank.judgments import write_judgments
from interank.reranking.reranker import Reranker
from interank.settings import (
    LoraRecipe,
    PromptSettings,
    Quantisation,
)
from interank.settings.student import LossRecipe, MixtureRecipe, ValidationRecipe
from interank.stages import distill
from interank.stages.forecast import forecast
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.order.recipe import DistillOrder
from interank.types import Document, Example, Query
from tests.support import rule
from tests.support.artifacts import judgments_artifact


def recipe_for(judgments: Path, student: Path, quantisation: Quantisation = "none") -> DistillJudge:
    return DistillJudge(
        stage="distill",
        judgments=judgments,
        student=str(student),
        quantisation=quantisation,
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 2, "per_device_train_batch_size": 4, "save_strategy": "no"},
    )


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_an_adapter_says_all_that_is_needed_to_use_it(
    tiny_folder: Path, tmp_path: Path, quantisation: Quantisation
) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    distill.run(recipe_for(judgments, tiny_folder, quantisation), tmp_path / "adapter")
    artifact = open_artifact(tmp_path / "adapter", "adapter")
    manifest = artifact.manifest
    assert ((artifact.path / manifest["base"]).resolve(), manifest["quantisation"]) == (tiny_folder, quantisation)
    assert (manifest["task"], manifest["prompt_hash"]) == ("judge", judging.prompt_hash())
    told = json.dumps([manifest["prompt"], manifest["counts"], artifact.recipe()])
    assert "instruct" not in told
    assert manifest["inputs"]["judgments"]["digest"] == open_artifact(judgments).digest
    assert manifest["counts"]["examples"] == 12
    config = json.loads((artifact.path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(tiny_folder))
    assert len(Reranker(artifact.path).rank(Query("q", "Where?"), [Document("d", "A fox.")])) == 1


def test_an_adapter_is_trained_further_in_its_own_shape(tiny_folder: Path, tmp_path: Path) -> None:
    first = judgments_artifact(tmp_path / "first-judgments", rule.examples(0, queries=1))
    distill.run(recipe_for(first, tiny_folder), tmp_path / "first")
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(1, queries=1))
    other = {"lora": LoraRecipe(rank=16), "mixture": MixtureRecipe(score=1.0)}
    recipe = recipe_for(judgments, tmp_path / "first").model_copy(update=other)
    still = recipe.model_copy(update={"trainer": {**recipe.trainer, "learning_rate": 0.0}})
    start, same, moved = (tmp_path / name / "adapter/adapter_model.safetensors" for name in ("first", "same", "moved"))
    distill.run(still, tmp_path / "same")
    distill.run(recipe, tmp_path / "moved")
    weights = load_file(start)
    assert all(torch.equal(weight, weights[name]) for name, weight in load_file(same).items())
    assert any(not torch.equal(weight, weights[name]) for name, weight in load_file(moved).items())
    artifact, begun = open_artifact(tmp_path / "moved", "adapter"), open_artifact(tmp_path / "first")
    assert artifact.recipe()["lora"]["rank"] == 4
    assert artifact.manifest["modes"] == begun.manifest["modes"] == ["score", "explain"]
    assert artifact.manifest["mixture"] == {"score": 1.0}
    assert artifact.manifest["base_digest"] == begun.manifest["base_digest"]
    assert artifact.manifest["continued_from"] == {"digest": begun.digest, "made_of": begun.lineage()}
    assert {found.path for found in artifact.ancestors("judgments")[0]} == {first.resolve(), judgments.resolve()}
    assert any("memory" in line for line in forecast(recipe, distill.check(recipe)))


def test_an_adapter_of_another_task_is_not_trained_further(tiny_folder: Path, tmp_path: Path) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    distill.run(recipe_for(judgments, tiny_folder), tmp_path / "judge")
    recipe = DistillOrder(stage="distill", task="order", judgments=judgments, student=str(tmp_path / "judge"))
    with pytest.raises(InputError, match="trained for task judge, and task order is to be learned"):
        distill.check(recipe)


def test_one_adapter_learns_three_modes_and_search_queries(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, held = rule.examples(0, queries=3, documents=4), rule.examples(1, queries=2, split="validation")
    judgments = judgments_artifact(tmp_path / "judgments", [*train, *held])
    queries = [{"query_id": item.query.query_id, "queries": ["fox", "barn"], "split": "train"} for item in train]
    recipe = recipe_for(judgments, tiny_folder).model_copy(
        update={
            "mixture": MixtureRecipe(score=1.0, explain=1.0, reason=0.5, queries=1.0),
            "loss": LossRecipe(tokens=1.0, grade=0.5, listwise=0.5),
            "documents_per_group": 3,
            "validation": ValidationRecipe(every=1),
            "trainer": {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1},
        }
    )
    with pytest.raises(InputError, match=r"queries\.jsonl.*mixture\.queries: 0"):
        distill.run(recipe, tmp_path / "none")
    judgments = with_queries(tmp_path / "with-queries", [*train, *held], queries)
    artifact = distill.run(recipe.model_copy(update={"judgments": judgments}), tmp_path / "adapter")
    assert "3 questions have more than documents_per_group, 3" in caplog.text
    manifest = open_artifact(artifact.path).manifest
    assert manifest["modes"] == ["score", "explain", "reason", "queries"]
    counts = manifest["counts"]
    assert (counts["rows_score"], counts["rows_explain"], counts["rows_queries"]) == (12, 12, 3)
    assert counts["rows_reason"] in (0, 4, 8, 12)
    assert counts["validation_pairs"] == 24
    lines = [json.loads(line) for line in (artifact.path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_nDCG@10" in line] == [0, 1, 2]
    card = ModelCard.load(artifact.path / "README.md")
    assert (card.data.base_model, card.data.tags) == (str(tiny_folder), ["reranker", "lora", "interank"])
    text = card.text
    assert "| step | nDCG@10 | grade accuracy |" in text
    assert "![training-validation.svg](training-validation.svg)" in text
    assert (artifact.path / "training-validation.svg").read_text().count("<svg") == 1
    cost = json.loads((artifact.path / "cost.json").read_text())["trainer"]["memory"]
    assert 0 < cost["plan"]["weights"] < cost["estimated_bytes"]
    assert cost["peak_bytes"] > 10**8
    for mode in ("score", "explain", "reason"):
        reranker = Reranker(artifact.path, mode=mode, max_reasoning_tokens=8)
        assert len(reranker.rank(Query("q", "Where?"), [Document("d", "A fox.")])) == 1


def test_instructions_are_learned_with_and_without_and_told(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = rule.examples(0, queries=6, documents=2)
    told = [replace(item, query=replace(item.query, instruction="Cite statutes.")) for item in plain]
    recipe = recipe_for(judgments_artifact(tmp_path / "told", told), tiny_folder)
    recipe = recipe.model_copy(update={"without_instruction": 0.5})
    artifact = distill.run(recipe, tmp_path / "adapter")
    manifest = artifact.manifest
    assert manifest["prompt"]["instructed"] is True
    assert manifest["prompt_hash"] == judging.prompt_hash(instruction="{instruction}")
    assert manifest["counts"]["questions"] == 6
    assert 0 < (shown := manifest["counts"]["instructed"]) < 6
    assert f"{shown} of 6 questions had one" in ModelCard.load(artifact.path / "README.md").text
    documents = [Document("d", "A fox."), Document("e", "A hen.")]

    def scores(instruction: str | None) -> dict[str, float]:
        ranking = Reranker(artifact.path).rank(Query("q", "Where?", instruction), documents)
        return {item.doc_id: item.score for item in ranking}

    found = [scores(None), scores(""), scores("Cite statutes."), scores("Cite cases.")]
    assert found[0] == found[1]
    assert found[0] != found[2] != found[3]
    assert "has learned from none" not in caplog.text
    # One for all is a part of the recipe, the wording and what stands beside the weights.
    prompt = recipe.prompt.model_copy(update={"instruction": "Cite statutes."})
    whole = recipe.model_copy(
        update={"prompt": prompt, "without_instruction": 0.0, "judgments": judgments_artifact(tmp_path / "p", plain)}
    )
    one = distill.run(whole, tmp_path / "one")
    assert one.manifest["counts"]["instructed"] == 6
    assert one.recipe()["prompt"]["instruction"] == "Cite statutes."
    beside = json.loads((one.path / "adapter" / "interank.json").read_text())
    assert beside["prompt_hash"] == one.manifest["prompt_hash"] == judging.prompt_hash(instruction="Cite statutes.")
    assert beside["prompt"]["instruction"] == "Cite statutes."


def with_queries(out: Path, examples: Sequence[Example], queries: Sequence[dict[str, object]]) -> Path:
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    (place.folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    return place.finish(seed=0, counts={}).path


def test_a_bare_adapter_folder_says_how_it_is_used(tiny_folder: Path, tmp_path: Path) -> None:
    """As it is once it has been copied out of its artifact, to a hub say."""
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    artifact = distill.run(recipe_for(judgments, tiny_folder), tmp_path / "adapter")
    bare = Path(shutil.copytree(artifact.path / "adapter", tmp_path / "bare"))
    query, documents = Query("q", "Where is the red fox?"), [Document("d", "A fox. " * 80), Document("e", "A hen.")]
    scores = [
        {item.doc_id: (item.score, item.truncated) for item in Reranker(path).rank(query, documents)}
        for path in (artifact.path, bare)
    ]
    assert scores[0] == scores[1]
    assert scores[0]["d"][1] > 0
    told = json.loads((bare / "interank.json").read_text())
    assert (told["modes"], told["prompt_hash"]) == (["score", "explain"], judging.prompt_hash())
    (bare / "interank.json").write_text(json.dumps({**told, "prompt_hash": "another"}))
    with pytest.raises(ArtifactError, match="wording of the prompt"):
        Reranker(bare)


def test_quantised_base_weights_stay_as_they_are_and_scores_reproduce(tiny_folder: Path, tmp_path: Path) -> None:
    """NF4 for real: what bitsandbytes loads before and after training is the same, and so are scores loaded twice."""
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    before = quantised(tiny_folder)
    recipe = recipe_for(judgments, tiny_folder, "nf4").model_copy(update={"double_quantisation": True})
    artifact = distill.run(recipe, tmp_path / "adapter")
    after = quantised(tiny_folder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    encoder = PromptEncoder(load_tokenizer(find_model(str(tiny_folder))), recipe.prompt)
    prompts = [encoder.prompt(Query("q", "Where?"), Document("d", text), answer_tokens=8) for text in ("fox", "hen")]
    found = []
    for _ in range(2):
        base = load_model(find_model(str(tiny_folder)), quantisation="nf4", double_quantisation=True)
        engine = TransformersEngine(with_adapter(base, artifact.path / "adapter"))
        found.append([item.logits for item in grade(engine, encoder, prompts)])
    assert found[0] == found[1]
    assert artifact.manifest["base_weights"] == "nf4"


def quantised(folder: Path) -> dict[str, torch.Tensor]:
    model = load_model(find_model(str(folder)), quantisation="nf4", double_quantisation=True)
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_judgments_of_validation_only_teach_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    examples = rule.examples(0, queries=1, split="validation")
    judgments = judgments_artifact(tmp_path / "judgments", examples)
    with pytest.raises(InputError, match="training split"):
        distill.run(recipe_for(judgments, tiny_folder), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_attacked_negatives_are_learned_beside_the_others(tiny_folder: Path, tmp_path: Path) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=2))
    recipe = recipe_for(judgments, tiny_folder).model_copy(update={"attacked_negatives": 1.0})
    counts = distill.run(recipe, tmp_path / "adapter").manifest["counts"]
    irrelevant = sum(item.judgment.relevance == 0 for item in rule.examples(0, queries=2))
    assert counts["attacked"] == irrelevant > 0
    assert counts["rows"] == counts["examples"] + counts["attacked"]
