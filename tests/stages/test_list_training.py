"""distill and rl on lists: from DeAR-COT's layout or our own orderings to adapters that say what they learned."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from pydantic import ValidationError

from interank.artifact import Artifact, Workplace, create, open_artifact
from interank.cli.stage import what_comes_next
from interank.diagnosis.variants import ParityTargets
from interank.engines.bases import find_base
from interank.engines.models import load_tokenizer
from interank.errors import ArtifactError, InputError, RecipeError
from interank.judgments import write_judgments
from interank.recipe import (
    load_recipe,
)
from interank.reranking.reranker import Reranker
from interank.settings import LoraRecipe
from interank.stages import distill, rl
from interank.stages.merge import merge
from interank.stages.parity import check_parity
from interank.tasks import documents
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.list_policy import list_rollouts
from interank.tasks.order import ordering
from interank.tasks.order.card import card as list_card
from interank.tasks.order.orderings import write_orderings
from interank.tasks.order.policy import prompts
from interank.tasks.order.recipe import DistillOrder, RlOrder
from interank.tasks.order.trial import ListTrial
from interank.tasks.protocol import CardFacts
from tests.support import list_rule
from tests.support.rule import ANIMALS

pytestmark = pytest.mark.own_rewards

PROMPT = {"max_length": 900, "max_query_tokens": 40, "max_document_tokens": 30}
TRAINER = {"max_steps": 2, "per_device_train_batch_size": 2, "gradient_checkpointing": False, "save_strategy": "no"}
DEAR = "Search Query: {query}.\nRank the {number} passages above. Output format strictly: [2] > [1] > [3] ..."


def dear_folder(folder: Path) -> Path:
    """Rows as DeAR-COT has them, made of the rule's lists, each with a query of its own; one of them cannot be used."""
    folder.mkdir()
    rows = []
    for animal, item in zip(ANIMALS, list_rule.examples(0, queries=4)[1], strict=False):
        listed = "\n".join(f"[{place}] {document.text}" for place, document in enumerate(item.documents, start=1))
        tail = DEAR.format(query=list_rule.query_text(animal), number=len(item.documents))
        ranking = ordering.answer(item.ordering.positions, form="dear")
        rows.append(
            {
                "system": "You are RankLLM.",
                "instruction": f"I will provide you with passages.\n\n{listed}\n\n{tail}",
                "input": "",
                "output": f"{item.ordering.reasoning}\n\n### Final Reranking: {ranking}",
                "history": [],
            }
        )
    rows[1]["output"] = "I don't know."
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def judgments_with_lists(out: Path, *, queries: int = 4, instruction: str | None = None) -> Path:
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    judged, lists = list_rule.examples(1, queries=queries)
    tried, _ = list_rule.examples(2, queries=3, split="validation")
    told = [replace(item, query=replace(item.query, instruction=instruction)) for item in (*judged, *tried)]
    write_judgments(told, place.folder)
    write_orderings(((item, 1.0) for item in lists), place.folder)
    return place.finish(seed=0, counts={"judgments": len(judged)}).path


def distill_recipe(student: Path, lists: dict[str, Any], **more: Any) -> DistillOrder:
    content = {
        "stage": "distill",
        "student": str(student),
        "lora": {"rank": 4, "alpha": 8},
        "task": "order",
        "prompt": PROMPT,
        **lists,
        "trainer": TRAINER,
        **more,
    }
    return DistillOrder.model_validate(content)


def rl_recipe(**more: Any) -> RlOrder:
    content = {
        "stage": "rl",
        "max_completion_tokens": 120,
        "task": "order",
        "rewards": ({"use": "list_ndcg"},),
        "trainer": {**TRAINER, "num_generations": 2},
        **more,
    }
    return RlOrder.model_validate(content)


@pytest.fixture(scope="module")
def judgments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judgments_with_lists(tmp_path_factory.mktemp("lists") / "judgments")


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, judgments: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    recipe = distill_recipe(tiny_folder, {"shuffles": 2}, judgments=judgments)
    return distill.run(recipe, tmp_path_factory.mktemp("lists") / "adapter")


def test_an_adapter_of_lists_says_so(adapter: Artifact) -> None:
    manifest = open_artifact(adapter.path, "adapter").manifest
    assert manifest["prompt"] == {"form": "reason", **PROMPT}
    assert manifest["prompt_hash"] == ordering.prompt_hash("reason")
    assert manifest["counts"]["examples"] == 8
    assert (adapter.path / "left_out.jsonl").read_text() == ""
    assert manifest["task"] == "order"
    card = ModelCard.load(adapter.path / "README.md")
    assert 'mode="listwise"' in card.text
    assert manifest["prompt_hash"] in card.text
    manifest, recipe = adapter.manifest, adapter.recipe()
    with_curves = list_card(CardFacts("base", manifest, recipe, manifest["counts"], [], ["loss.svg"]))
    assert "![loss.svg](loss.svg)" in with_curves.text
    assert ".svg" not in card.text


def test_an_adapter_of_lists_learns_instructions(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = judgments_with_lists(tmp_path / "told", instruction="Cite statutes.")
    prompt = {**PROMPT, "max_query_tokens": 80}
    recipe = distill_recipe(tiny_folder, {"shuffles": 1}, judgments=told, prompt=prompt, without_instruction=0.5)
    made = distill.run(recipe, tmp_path / "adapter")
    assert made.manifest["prompt"] == {"instructed": True, "form": "reason", **prompt}
    assert made.manifest["prompt_hash"] == ordering.prompt_hash("reason", "{instruction}")
    assert made.manifest["counts"]["instructed"] in range(1, 4)
    assert "It learned to follow instructions" in ModelCard.load(made.path / "README.md").text
    documents._warn.cache_clear()
    reranker = Reranker(made.path, mode="listwise", max_reasoning_tokens=8)
    assert len(reranker.rank("Where?", ["A fox.", "A hen."], instruction="Cite statutes.")) == 2
    assert "learned from none" not in caplog.text


def test_what_comes_next_is_in_the_mode_that_it_has(adapter: Artifact) -> None:
    (said,) = what_comes_next("distill", adapter)
    tried, measured = said.split(";")
    assert "--mode listwise" in tried
    assert "mode=listwise" in measured


def test_what_compares_scores_takes_no_adapter_of_lists(adapter: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"lists.* merge .*task judge"):
        merge(adapter.path, tmp_path / "merged")
    with pytest.raises(ArtifactError, match=r"lists.* check-parity .*task judge"):
        check_parity(str(adapter.path), ParityTargets(vllm=False))


def test_dears_layout_is_learned_and_what_is_left_out_is_on_file(tiny_folder: Path, tmp_path: Path) -> None:
    folder = dear_folder(tmp_path / "dear")
    recipe = distill_recipe(tiny_folder, {"dear_cot": (str(folder),), "decontaminate": False})
    assert recipe.missing() == []
    artifact = distill.run(recipe, tmp_path / "adapter")
    assert artifact.manifest["counts"]["examples"] == 3
    assert "dear_cot.0" in artifact.manifest["inputs"]
    (left,) = [json.loads(line) for line in (artifact.path / "left_out.jsonl").read_text().splitlines()]
    assert left["query_id"].endswith("train.jsonl:2")
    assert "ends in no ranking" in left["reason"]


def test_lists_of_a_benchmarks_queries_are_left_out(tiny_folder: Path, tmp_path: Path) -> None:
    """DeAR-COT's card names BEIR and TREC DL: what is trained on their queries must not be reported on them."""
    folder = dear_folder(tmp_path / "dear")
    benchmark = tmp_path / "bench"
    benchmark.mkdir()
    (benchmark / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": list_rule.query_text(ANIMALS[0])}) + "\n")
    document = {"_id": "d", "title": "", "text": "Something else entirely stands in here, in ten words or so."}
    (benchmark / "corpus.jsonl").write_text(json.dumps(document) + "\n")
    recipe = distill_recipe(tiny_folder, {"dear_cot": (str(folder),), "benchmarks": (str(benchmark),)})
    artifact = distill.run(recipe, tmp_path / "adapter")
    left = [json.loads(line) for line in (artifact.path / "left_out.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in left if "benchmark" in row["reason"]] == ["a benchmark holds its query"]
    assert artifact.manifest["counts"]["examples"] == 2
    assert {"dear_cot.0", "benchmarks.0"} <= artifact.manifest["inputs"].keys()


def test_lists_from_elsewhere_need_benchmarks_or_a_decision() -> None:
    with pytest.raises(ValidationError, match="decontaminate=false"):
        distill_recipe(Path("x"), {"dear_cot": ("dear",)})
    assert distill_recipe(Path("x"), {}).missing() == ["judgments"]


def test_lists_that_are_all_too_long_are_told(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    recipe = distill_recipe(tiny_folder, {"window": 4}, judgments=judgments)
    with pytest.raises(InputError, match=r"none of 4 lists.* 5 documents"):
        distill.run(recipe, tmp_path / "adapter")


def test_rl_goes_on_with_the_adapters_prompts(adapter: Artifact, judgments: Path, tmp_path: Path) -> None:
    recipe = rl_recipe(judgments=judgments, adapter=adapter.path, shuffles=2)
    better = rl.run(recipe, tmp_path / "rl")
    assert (better.manifest["task"], better.manifest["counts"]["lists"]) == ("order", 8)
    assert {name: better.manifest[name] for name in ("prompt", "prompt_hash")} == {
        name: adapter.manifest[name] for name in ("prompt", "prompt_hash")
    }
    assert [given["name"] for given in better.lineage()] == ["judgments", "adapter", "judgments"]


def test_the_control_rewards_by_grades_that_were_dealt_anew(adapter: Artifact, judgments: Path) -> None:
    tokenizer = load_tokenizer(find_base(adapter))

    def columns(**given: str) -> list[dict[str, Any]]:
        recipe = rl_recipe(**given)
        return list_rollouts(recipe, judgments, prompts(adapter, tokenizer)).columns()

    rewarded, dealt = columns(), columns(control="shuffled")
    assert [{**row, "grades": 0} for row in rewarded] == [{**row, "grades": 0} for row in dealt]
    assert [row["grades"] for row in rewarded] != [row["grades"] for row in dealt]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation": {"explained": 2}}, r"validation\.explained"),
    ],
)
def test_rl_refuses_what_lists_have_no_use_for(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rl_recipe(**given)


def test_keys_of_another_task_are_told(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("stage: distill\ntask: order\nstudent: x\nvalidation: {questions: 3}\nobjective: ranknet\n")
    with pytest.raises(RecipeError) as raised:
        load_recipe(str(file))
    assert re.search("validation: task order .*judge, head and group have it", str(raised.value))
    assert re.search("objective: task order .*head", str(raised.value))


@pytest.mark.parametrize("stage", ["distill", "rl"])
def test_recipes_of_before_tasks_are_told_how_they_are_written_now(tmp_path: Path, stage: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"stage: {stage}\nstudent: x\nlists: {{window: 5}}\n")
    with pytest.raises(RecipeError, match=r"lists: .*`task: order`"):
        load_recipe(str(file))


@pytest.mark.parametrize("content", [rl_recipe(), distill_recipe(Path("x"), {})])
def test_a_recipe_that_spells_out_its_defaults_is_taken(content: RlOrder | DistillOrder) -> None:
    assert type(content).model_validate(content.model_dump()) == content


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rl_tries_the_policy_on_validation_lists_and_shows_what_it_wrote(
    adapter: Artifact, judgments: Path, tmp_path: Path
) -> None:
    recipe = rl_recipe(
        judgments=judgments,
        adapter=adapter.path,
        validation={"every": 1, "questions": 2},
        collapse_detection={"enabled": False},
    )
    artifact = rl.run(recipe, tmp_path / "rl")
    tried = artifact.manifest["validation"]
    assert artifact.manifest["counts"]["validation_lists"] == 2
    assert [row["step"] for row in lines(artifact.path / "trials.jsonl")] == [0, 1, 2]
    assert {"nDCG@10", "format_rate", "whole_rate", "explanation_words"} <= tried["start"].keys()
    assert tried["best"]["nDCG@10"] >= tried["start"]["nDCG@10"]
    rows = lines(artifact.path / "rollouts.jsonl")
    assert {row["step"] for row in rows} == {1, 2}
    answers = lines(artifact.path / "answers.jsonl")
    assert [row["step"] for row in answers] == [0, 0, 1, 1, 2, 2]
    assert all(len(row["grades"]) == len(row["documents"]) == list_rule.SIZE for row in [*rows, *answers])
    page = (artifact.path / "report.html").read_text()
    assert f"[1] judged {rows[0]['grades'][0]}: {rows[0]['documents'][0]}" in page
    card = ModelCard.load(artifact.path / "README.md").text
    assert "orders lists of documents" in card
    assert "| whole_rate |" in card


def test_a_sign_of_collapse_stops_lists_too(
    adapter: Artifact, judgments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model has nothing to lose, so its trials are said to fall; all that follows from that is real."""
    falling = iter((0.9, 0.4, 0.3))
    monkeypatch.setattr(ListTrial, "__call__", lambda *_: {"nDCG@10": next(falling)})
    recipe = rl_recipe(
        judgments=judgments,
        adapter=adapter.path,
        validation={"every": 1},
        collapse_detection={"patience": 1},
        trainer={**TRAINER, "num_generations": 2, "max_steps": 3},
    )
    artifact = rl.run(recipe, tmp_path / "rl")
    tried = artifact.manifest["validation"]
    assert tried["stopped"].startswith("validation down")
    assert (tried["best"]["step"], artifact.manifest["counts"]["steps"]) == (0, 1)


def test_lists_from_which_nothing_is_learned_are_replaced(adapter: Artifact, judgments: Path, tmp_path: Path) -> None:
    """A random model writes no ranking, so all its completions earn the same."""

    def refilled(name: str, refills: int) -> list[float]:
        trainer = {**TRAINER, "num_generations": 2, "logging_steps": 1}
        recipe = rl_recipe(judgments=judgments, adapter=adapter.path, refills=refills, trainer=trainer)
        log = lines(rl.run(recipe, tmp_path / name).path / "log.jsonl")
        return [row["refilled_queries"] for row in log if "refilled_queries" in row]

    assert refilled("twice", 2) == [2.0, 2.0]
    assert refilled("never", 0) == []


def test_the_sampler_is_held_to_what_the_recipe_says(adapter: Artifact, judgments: Path) -> None:
    recipe = rl_recipe(rollouts={"importance_clip": 1.5, "tolerance": 0.25})
    tokenizer = load_tokenizer(find_base(adapter))
    assert list_rollouts(recipe, judgments, prompts(adapter, tokenizer)).settings == recipe.rollouts


def test_lists_go_on_where_a_reward_failed_to_the_same_adapter(
    adapter: Artifact, judgments: Path, tmp_path: Path
) -> None:
    file, broken = tmp_path / "length.py", tmp_path / "broken"
    file.write_text(
        "from pathlib import Path\n"
        "from interank.errors import InputError\n"
        "OF = 'lists'\n"
        "def reward(*, completions, trainer_state, broken, **_):\n"
        "    if trainer_state.global_step == 1 and Path(broken).exists():\n"
        "        raise InputError('the scale is broken')\n"
        "    return [float(len(text) % 7) for text in completions]\n"
    )
    recipe = rl_recipe(
        judgments=judgments,
        adapter=adapter.path,
        rewards=({"use": str(file), "params": {"broken": str(broken)}},),
        validation={"every": 1, "questions": 2},
    )
    whole = rl.run(recipe, tmp_path / "whole")
    broken.touch()
    with pytest.raises(InputError, match=r"the scale is broken.* step 1 "):
        rl.run(recipe, tmp_path / "resumed")
    broken.unlink()
    resumed = rl.run(recipe, tmp_path / "resumed", existing="resume")
    for name in ("adapter/adapter_model.safetensors", "trials.jsonl", "rollouts.jsonl", "answers.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_batch_holds_whole_groups() -> None:
    with pytest.raises(ValidationError, match=r"of 4 \(num_generations\)"):
        rl_recipe(trainer={"num_generations": 4, "per_device_train_batch_size": 6})


def test_adapter_recipe_and_rewards_are_of_one_kind(
    adapter: Artifact, tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"task judge.*task order.*`task: judge`"):
        rl.run(rl_recipe(judgments=judgments, adapter=tiny_adapter), out)
    pointwise = RlJudge.model_validate(
        {
            "stage": "rl",
            "judgments": judgments,
            "adapter": adapter.path,
            "rewards": ({"use": "ranking"},),
        }
    )
    with pytest.raises(InputError, match=r"task order.*task judge.*`task: order`"):
        rl.run(pointwise, out)
    with pytest.raises(InputError, match=r"reward ranking .*task order"):
        rl.run(rl_recipe(judgments=judgments, adapter=adapter.path, rewards=({"use": "ranking"},)), out)
    assert not out.exists()


def test_a_completion_without_room_for_a_ranking_is_refused(adapter: Artifact, judgments: Path, tmp_path: Path) -> None:
    """The card generates 50 tokens for 20 passages, which holds neither reasoning nor ranking."""
    recipe = rl_recipe(judgments=judgments, adapter=adapter.path, max_completion_tokens=16)
    with pytest.raises(InputError, match=r"max_completion_tokens: .*16 .* 5 documents"):
        rl.run(recipe, tmp_path / "out")


def test_dears_recipe_has_the_cards_adapter_and_loads() -> None:
    recipe = load_recipe("recipes/distill/dear-8b-listwise-lora.yaml", [])
    assert isinstance(recipe, DistillOrder)
    assert (recipe.window, recipe.prompt.max_length) == (20, 5000)
    modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert recipe.lora == LoraRecipe(rank=16, alpha=32, dropout=0.0, targets=modules)
