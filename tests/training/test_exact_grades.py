"""In bfloat16 the losses read grades' probabilities off float32 products, and every other token's as before."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.rewards import WeightedReward
from interank.settings.student import LossRecipe
from interank.tasks.judge.rollouts import Rollouts
from interank.training import shared_prefix
from interank.training.fused_head import FusedHead
from interank.training.grpo import prepare
from interank.training.objective import Objective
from tests.support import training_data
from tests.support.families import family_model

VOCABULARY, LABELS, TEMPERATURE = 300, (40, 41, 42), 0.7


def log_probs(model: Any, hidden: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Of the labels, (tokens,), the head multiplied in numbers of a kind."""
    logits = hidden.to(dtype) @ model.lm_head.weight.to(dtype).t()
    return (logits.float() / TEMPERATURE).log_softmax(-1).gather(-1, labels[..., None])[..., 0]


@pytest.mark.parametrize("chosen", ["some", "none", "all"])
def test_grades_tokens_are_scored_in_float32(chosen: str) -> None:
    model = copy.deepcopy(family_model("llama 3", VOCABULARY)).to(torch.bfloat16).requires_grad_(False)
    torch.manual_seed(0)
    hidden = torch.randn(1, 30, 64, dtype=torch.bfloat16, requires_grad=True)
    labels = torch.randint(50, VOCABULARY, (1, 30))
    graded = {"some": slice(3, 20, 4), "none": slice(0), "all": slice(None)}[chosen]
    labels[0, graded] = torch.tensor(LABELS * 10)[: len(labels[0, graded])]
    head = FusedHead(model, temperature=TEMPERATURE, cast_lm_head_to_fp32=False, exact=lambda: LABELS)
    found = head(hidden, labels).log_probs
    exact = log_probs(model, hidden, labels, torch.float32)
    rounded = log_probs(model, hidden, labels, torch.bfloat16)
    expected = rounded.detach().clone()
    expected[:, graded] = exact[:, graded]
    assert torch.allclose(found, expected, atol=1e-5)
    assert chosen == "none" or not torch.allclose(found[:, graded], rounded[:, graded], atol=1e-3)
    ours = torch.autograd.grad(found[:, graded].sum(), hidden, allow_unused=True)[0]
    theirs = torch.autograd.grad(exact[:, graded].sum(), hidden, allow_unused=True)[0]
    assert ours is not None
    assert theirs is not None
    # A gradient of states in bfloat16 is rounded to it.
    assert torch.allclose(ours.float(), theirs.float(), rtol=2.0**-7, atol=1e-3)


def test_entropies_stay_with_their_tokens() -> None:
    model = copy.deepcopy(family_model("llama 3", VOCABULARY)).to(torch.bfloat16)
    hidden, labels = torch.randn(1, 12, 64).bfloat16(), torch.tensor([[40, 70, 80, 41, 90, 42] * 2])
    with torch.no_grad():
        mixed = FusedHead(model, temperature=1.0, cast_lm_head_to_fp32=False, exact=lambda: LABELS)(hidden, labels)
        plain = FusedHead(model, temperature=1.0, cast_lm_head_to_fp32=False)(hidden, labels)
    assert mixed.entropy.shape == plain.entropy.shape
    assert torch.allclose(mixed.entropy, plain.entropy, atol=0.05)
    others = (labels != 40) & (labels != 41) & (labels != 42)
    assert torch.allclose(mixed.entropy[others], plain.entropy[others], atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_a_student_s_grades_are_float32_products(
    tiny_folder: Path, tmp_path: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples())
    model = training_data.model_of(tiny_folder).to(torch.bfloat16)
    student = training_data.student_of(
        tmp_path,
        model,
        encoder,
        groups,
        weights=LossRecipe(tokens=1.0, grade=1.0, listwise=1.0),
        shared_prefix=shared,
        per_device_train_batch_size=2,
        bf16=False,
    )
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    call = shared_prefix.FusedHead.__call__

    def recorded(self: Any, hidden: torch.Tensor, labels: torch.Tensor) -> Any:
        seen.append((hidden, labels))
        return call(self, hidden, labels)

    monkeypatch.setattr(shared_prefix.FusedHead, "__call__", recorded)
    with torch.no_grad():
        grades = student.score(student.model, groups[:2]).grades
    hidden, labels = seen[0]
    weight = student.accelerator.unwrap_model(student.model).get_output_embeddings().weight.float()
    exact = (hidden.float() @ weight.t()).log_softmax(-1).gather(-1, labels[..., None])[0, :, 0]
    graded = grades[grades.abs().sum(1) > 0]
    assert len(graded) > 2
    assert torch.allclose(graded.flatten(), exact[-graded.numel() :], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_trl_s_own_update_reads_grades_exactly(tiny_folder: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    model = training_data.model_of(tiny_folder).to(dtype)
    examples = training_data.examples()[:4]
    rollouts = Rollouts(encoder, examples, tokens=12, seed=0)
    settings = {"num_generations": 2, "per_device_train_batch_size": 4, "bf16": False, "temperature": TEMPERATURE}
    objective = Objective([WeightedReward(nothing)], lead=encoder.label_lead, labels=encoder.label_ids)
    trainer = prepare(model, rollouts, objective, trainer=settings, folder=tmp_path / "c", shared_prefix=False)
    prompts = [encoder.prompt(item.query, item.document, answer_tokens=12).ids for item in examples]
    tails = [(*encoder.label_lead, label, *encoder.label_lead) for label in (*encoder.label_ids, encoder.label_ids[0])]
    width, longest = len(tails[0]), max(map(len, prompts))
    rows = [[0] * (longest - len(ids)) + [*ids, *tail] for ids, tail in zip(prompts, tails, strict=True)]
    masks = [[0] * (longest - len(ids)) + [1] * (len(ids) + width) for ids in prompts]
    seen: list[torch.Tensor] = []
    plain = model.get_base_model()
    plain.base_model.register_forward_hook(lambda _, __, gives: seen.append(gives.last_hidden_state))
    found, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, torch.tensor(rows), torch.tensor(masks), width, compute_entropy=True
    )
    place = len(encoder.label_lead)
    labels, hidden = torch.tensor(rows)[:, -width:], seen[0][:, -width - 1 : -1]
    weight = plain.get_output_embeddings().weight

    exact, rounded = (
        ((hidden.to(numbers) @ weight.to(numbers).t()).float() / TEMPERATURE).log_softmax(-1)
        for numbers in (torch.float32, dtype)
    )
    expected = rounded.gather(-1, labels[..., None])[..., 0]
    assert torch.allclose(_without(found, place), _without(expected, place), atol=1e-5)
    graded = exact.gather(-1, labels[..., None])[:, place, 0]
    assert torch.allclose(found[:, place], graded, atol=1e-5)
    assert torch.allclose(entropies[:, place], -(exact.exp() * exact).sum(-1)[:, place], atol=1e-4)
    assert dtype == torch.float32 or not torch.allclose(found[:, place], expected[:, place], atol=1e-4)
    ours = torch.autograd.grad(found[:, place].sum(), seen[0], retain_graph=True)[0]
    theirs = torch.autograd.grad(graded.sum(), seen[0])[0]
    assert torch.allclose(ours.float(), theirs.float(), rtol=2.0**-7, atol=1e-3)


def _without(rows: torch.Tensor, place: int) -> torch.Tensor:
    return torch.cat([rows[:, :place], rows[:, place + 1 :]], 1)


def nothing(*, completion_ids: Any, **_: Any) -> list[float | None]:
    return [0.0 for _ in completion_ids]
