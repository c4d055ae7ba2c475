"""Llama-3.2-3B on paper: a step of its recipes and scoring fit the devices that they are for, on the longest texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from interank.engines.models import ModelFiles
from interank.engines.pairs import PairEncoder
from interank.engines.protocol import ForcedLabels, Sampling
from interank.engines.reward_adapter import Explanation, RewardAdapter
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.probe import tree_runner
from interank.recipe.loading import load_recipe
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from interank.tasks.judge.trial import AnswerTrial
from interank.training import memory, planning
from interank.training.memory import Form
from interank.training.planning import Choice, plan
from interank.training.sft import largest_microbatch
from tests.support.paper import FAKE, base_on_paper, faked, policy_on_paper, rewarded_on_paper, student_on_paper
from tests.support.paper_engine import WRITTEN, lent, prompts_of
from tests.support.paper_steps import (
    LONGEST,
    SHAPES,
    distilled,
    encoder_of,
    gradients,
    groups_of,
    judged,
    states,
    updated,
)
from tests.support.tiny import tiny_tokenizer

# A few numbers of the head are real, and torch's fake tensors look at a gradient that they have not.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
LABELS = (40, 41, 42)
# How near the estimate of a step is to its peak, as for smaller models in test_planning.
NEAR = 0.15


@pytest.mark.parametrize(
    ("limit", "form", "overrides"),
    [(80 * 10**9, "none", []), (24 * 10**9, "nf4", ["quantisation=nf4"])],
)
def test_a_step_of_distillation_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, form: str, overrides: list[str]
) -> None:
    monkeypatch.setattr(planning, "device", lambda: "cuda")
    monkeypatch.setattr(planning, "device_bytes", lambda _: limit)
    recipe = load_recipe("distill/llama-3.2-3b", ["judgments=written", *overrides])
    assert isinstance(recipe, DistillJudge)
    groups = groups_of(recipe, encoder_of(recipe), judged(LONGEST, queries=1, documents=5))
    LlamaConfig(**SHAPES["3b"], tie_word_embeddings=True).save_pretrained(tmp_path)
    choice = Choice(recipe.lora, recipe.quantisation, recipe.double_quantisation, "bfloat16", None)
    largest = largest_microbatch(groups, recipe.trainer, shared_prefix=True)
    planned, quantisation = plan(ModelFiles("Llama-3.2-3B", tmp_path, "folder"), choice, largest)
    assert quantisation == form
    student = student_on_paper(SHAPES["3b"], "nf4" if form == "nf4" else "bfloat16", recipe.lora)
    step = distilled(student, groups, recipe, tmp_path / "work", checkpointing=planned.checkpointing)
    print(f"{limit // 10**9} GB: {largest}, {planned.told()}, on paper {step}")
    assert step.peak < limit
    assert planned.step == pytest.approx(step.peak, rel=NEAR)


@pytest.mark.parametrize(
    ("limit", "name", "form"),
    [(80 * 10**9, "rl/llama-3.2-3b", "bfloat16"), (24 * 10**9, "rl/llama-3.2-3b-24gb", "nf4")],
)
def test_an_update_of_grpo_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, name: str, form: Form
) -> None:
    monkeypatch.setattr(memory, "device_bytes", lambda _: limit)
    taught = load_recipe("distill/llama-3.2-3b", ["judgments=written"])
    recipe = load_recipe(name, ["judgments=written", "adapter=written"])
    assert isinstance(taught, DistillJudge)
    assert isinstance(recipe, RlJudge)
    beside = recipe.rollouts.vllm.gpu_memory if recipe.rollouts.engine == "vllm" else 0.0
    # With a reward model's adapter beside policy and reference, as rl has it where it is given one.
    policy = rewarded_on_paper(SHAPES["3b"], form, taught.lora, marking_recipe().lora)
    assert {*policy.peft_config} == {"default", "ref", "reward"}
    step = updated(policy, encoder_of(taught), recipe, tmp_path / "work")
    print(f"{name}: {step}, checkpointing {policy.is_gradient_checkpointing}, of {limit * (1 - beside):.3g} bytes")
    assert step.peak < limit * (1 - beside)


@pytest.mark.parametrize("limit", [80 * 10**9, 24 * 10**9])
def test_a_hundred_documents_are_scored(limit: int) -> None:
    model = faked(base_on_paper(SHAPES["3b"], "bfloat16")).eval()
    engine, prompts = TransformersEngine(model), prompts_of(1, 100, length=3188)
    with lent(model, limit) as paper:
        found = engine.label_logits(prompts, LABELS)
    print(f"scoring: {paper.peak} bytes at the peak")
    assert len(found) == 100
    assert paper.peak < limit


@pytest.mark.parametrize("limit", [80 * 10**9, 24 * 10**9])
def test_a_hundred_documents_are_reasoned_about(limit: int) -> None:
    model = faked(base_on_paper(SHAPES["3b"], "bfloat16")).eval()
    engine, prompts = TransformersEngine(model), prompts_of(1, 100, length=4096 - WRITTEN - len(LABELS))
    asked = ForcedLabels(lambda completion: (*completion.ids, *LABELS), LABELS)
    with lent(model, limit) as paper:
        found = engine.generate_graded(prompts, Sampling(WRITTEN), asked, end=-1)
    print(f"reasoning: {paper.peak} bytes at the peak")
    assert len(found) == 100
    assert paper.peak < limit


@pytest.mark.parametrize(
    ("limit", "name", "form"),
    [(80 * 10**9, "rl/llama-3.2-3b", "bfloat16"), (24 * 10**9, "rl/llama-3.2-3b-24gb", "nf4")],
)
def test_the_rollouts_of_a_step_fit(limit: int, name: str, form: Form) -> None:
    """By the trained weights; the larger recipe has vLLM for it, and would fit without."""
    recipe, model = policy_of(name, form)
    rows = recipe.trainer["per_device_train_batch_size"] * recipe.trainer["gradient_accumulation_steps"]
    copies = recipe.trainer["num_generations"]
    queries = rows // (recipe.documents_per_query * copies)
    prompts = prompts_of(queries, recipe.documents_per_query, length=4096 - WRITTEN, copies=copies)
    beside = states(model) + gradients(model)
    with lent(model, limit, beside=beside) as paper:
        found = TransformersEngine(model).generate(prompts, Sampling(WRITTEN, temperature=1.0), end=-1)
        TransformersEngine(model).label_logits(list(dict.fromkeys(prompts)), LABELS)
    print(f"{name}: rollouts of {rows} rows, {paper.peak + beside} bytes at the peak")
    assert len(found) == rows
    assert paper.peak + beside < limit


@pytest.mark.parametrize(
    ("limit", "name", "form"),
    [(80 * 10**9, "rl/llama-3.2-3b", "bfloat16"), (24 * 10**9, "rl/llama-3.2-3b-24gb", "nf4")],
)
def test_a_trial_of_grpo_fits(limit: int, name: str, form: Form) -> None:
    recipe, model = policy_of(name, form)
    taught = load_recipe("distill/llama-3.2-3b", ["judgments=written"])
    assert isinstance(taught, DistillJudge)
    # More questions are more batches like these.
    encoder, questions = encoder_of(taught), min(12, recipe.validation.questions)
    tokens = len(encoder.label_lead) + WRITTEN
    examples = judged(LONGEST, queries=questions, documents=3)
    trial = AnswerTrial(encoder, examples, order="grade_first", tokens=tokens, explained=recipe.validation.explained)
    vllm = recipe.rollouts.vllm.gpu_memory if recipe.rollouts.engine == "vllm" else 0.0
    beside = states(model) + gradients(model) + int(limit * vllm)
    with lent(model, limit, beside=beside) as paper:
        figures = trial(model)
    print(f"{name}: a trial on {len(examples)} pairs, {paper.peak + beside} bytes at the peak")
    assert figures
    assert paper.peak + beside < limit


@pytest.mark.parametrize(
    ("limit", "name", "form"),
    [(80 * 10**9, "rl/llama-3.2-3b", "bfloat16"), (24 * 10**9, "rl/llama-3.2-3b-24gb", "nf4")],
)
def test_policy_reference_and_reward_model_fit_on_one_base(limit: int, name: str, form: Form) -> None:
    """While the reward model marks; that an update fits beside it is held above."""
    taught = load_recipe("distill/llama-3.2-3b", ["judgments=written"])
    recipe = load_recipe(name, ["judgments=written", "adapter=written"])
    assert isinstance(taught, DistillJudge)
    assert isinstance(recipe, RlJudge)
    marking = marking_recipe()
    vllm = recipe.rollouts.vllm.gpu_memory if recipe.rollouts.engine == "vllm" else 0.0
    policy = rewarded_on_paper(SHAPES["3b"], form, taught.lora, marking.lora)
    held = {name: weight.nbytes for name, weight in policy.named_parameters()}
    more = sum(size for name, size in held.items() if ".reward." in name)
    marks = reward_on_paper(policy, PairEncoder(tiny_tokenizer("llama3"), marking.encoding))
    rows = recipe.trainer["per_device_train_batch_size"] * recipe.trainer["gradient_accumulation_steps"]
    longest = explanations(rows, recipe.trainer["num_generations"])
    beside = states(policy) + gradients(policy) + int(limit * vllm)
    with lent(policy, limit, beside=beside) as paper:
        found = marks(longest)
    print(f"{name}: reward model {more} bytes more, marking {len(found)} rows {paper.peak + beside} of {limit}")
    # No second copy of the base.
    assert 0 < more < 0.05 * sum(held.values())
    assert len(found) == len(longest)
    assert paper.peak + beside < limit


def marking_recipe() -> RewardModelRecipe:
    """The reward model's."""
    recipe = load_recipe("reward/llama-3.2-3b", ["judgments=written"])
    assert isinstance(recipe, RewardModelRecipe)
    return recipe


def reward_on_paper(policy: Any, encoder: PairEncoder) -> RewardAdapter:
    """What stands beside the policy already, with a head."""
    marks = RewardAdapter.__new__(RewardAdapter)
    marks.encoder, marks.model, marks._name = encoder, policy, "reward"
    marks._runner = tree_runner(policy)
    with FAKE:
        marks._weight = torch.empty(1, SHAPES["3b"]["hidden_size"])
    return marks


def explanations(rows: int, copies: int) -> list[Explanation]:
    """As long as they may be, all different."""
    examples = judged(LONGEST, queries=rows // copies, documents=copies)
    pairs = [(item.query.text, item.document.full_text) for item in examples[::copies]]
    texts = [item.judgment.reasoning for item in examples]
    return [Explanation(*pairs[place // copies], text) for place, text in enumerate(texts)]


def policy_of(name: str, form: Form) -> tuple[RlJudge, Any]:
    """A recipe of rl, and the model that it would train."""
    taught = load_recipe("distill/llama-3.2-3b", ["judgments=written"])
    recipe = load_recipe(name, ["judgments=written", "adapter=written"])
    assert isinstance(taught, DistillJudge)
    assert isinstance(recipe, RlJudge)
    return recipe, policy_on_paper(SHAPES["3b"], form, taught.lora)
