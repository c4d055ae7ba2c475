"""What a training takes is estimated from the configuration alone, and what cannot fit is refused with advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interank.engines.models import find_model, load_model
from interank.engines.tree.prefix_tree import plant_sequences
from interank.errors import TrainingError
from interank.settings import LoraRecipe
from interank.settings.student import LossRecipe, MixtureRecipe
from interank.tasks.judge.recipe import DistillJudge
from interank.training import planning
from interank.training.adapters import fresh_adapter
from interank.training.memory import Form, Microbatch
from interank.training.planning import Choice, estimated, plan
from interank.training.sft import largest_microbatch
from tests.support import training_data
from tests.support.paper import base_on_paper, student_on_paper
from tests.support.paper_steps import SHAPES, distilled, encoder_of, groups_of, judged

CHOICE = Choice(LoraRecipe(rank=4, alpha=8), "none", False, "auto", None)
# How far the estimate may lie from what the real loss takes.
NEAR = 0.15
STUDENT = DistillJudge(
    stage="distill",
    student="written out",
    documents_per_group=3,
    mixture=MixtureRecipe(score=1.0, explain=1.0, reason=1.0),
    loss=LossRecipe(tokens=1.0, grade=0.5, listwise=0.5),
    trainer={"per_device_train_batch_size": 1},
)


def microbatch(tokens: int) -> Microbatch:
    return Microbatch(tokens, keys=tokens)


@pytest.mark.parametrize("layers", [None, 1])
def test_weights_and_adapter_are_those_that_are_loaded(tiny_folder: Path, layers: int | None) -> None:
    files = find_model(str(tiny_folder))
    choice = replace(CHOICE, lora=CHOICE.lora.model_copy(update={"layers": layers}))
    planned, quantisation = plan(files, choice, microbatch(100))
    model = fresh_adapter(load_model(files), choice.lora, seed=0)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    frozen = [weight for weight in model.parameters() if not weight.requires_grad]
    assert quantisation == "none"
    assert planned.weights == sum(weight.nbytes for weight in frozen)
    assert planned.adapter == 4 * sum(weight.nbytes for weight in trained)
    assert not planned.checkpointing
    assert "of 100 tokens, kept" in planned.told()


def test_what_lies_below_the_adapters_is_not_kept(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    whole, half = (
        plan(files, replace(CHOICE, lora=LoraRecipe(rank=4, alpha=8, layers=layers)), microbatch(1000))[0]
        for layers in (2, 1)
    )
    assert half.activations == whole.activations // 2
    with pytest.raises(TrainingError, match=r"lora\.layers.*3.*2 layers"):
        plan(files, replace(CHOICE, lora=LoraRecipe(layers=3)), microbatch(10))


@pytest.mark.parametrize("double", [False, True])
def test_nf4_weights_are_estimated_as_bitsandbytes_holds_them(tiny_folder: Path, double: bool) -> None:
    files = find_model(str(tiny_folder))
    planned, _ = plan(files, replace(CHOICE, quantisation="nf4", double_quantisation=double), microbatch(10))
    model = load_model(files, quantisation="nf4", double_quantisation=double)
    held = sum(weight.nbytes for weight in model.parameters())
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            held += state.absmax.nbytes + (state.state2.absmax.nbytes if state.nested else 0)
    assert planned.weights == pytest.approx(held, rel=0.03)


def test_activations_are_computed_again_where_they_would_not_fit(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_model(str(tiny_folder))
    whole, _ = plan(files, CHOICE, microbatch(200_000))
    monkeypatch.setattr(planning, "device_bytes", lambda device: whole.total)
    less, _ = plan(files, CHOICE, microbatch(200_000))
    assert less.checkpointing
    assert less.total < whole.total
    assert "computed again" in less.told()


def test_what_cannot_fit_is_refused_with_advice(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_model(str(tiny_folder))
    monkeypatch.setattr(planning, "device_bytes", lambda device: 10**6)
    with pytest.raises(TrainingError, match=r"of 0\.00 GiB.*nf4.*batch_size.* window"):
        plan(files, replace(CHOICE, shorter=("window",)), microbatch(100))


def test_a_gpu_that_is_too_small_for_plain_weights_gets_nf4(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_model(str(tiny_folder))
    monkeypatch.setattr(planning, "device", lambda: "cuda")
    monkeypatch.setattr(planning, "device_bytes", lambda device: 10**12)
    assert plan(files, replace(CHOICE, quantisation="auto"), microbatch(10))[1] == "none"
    plain, _ = plan(files, replace(CHOICE, checkpointing=False), microbatch(10))
    fewer, _ = plan(files, replace(CHOICE, checkpointing=False, quantisation="nf4"), microbatch(10))
    between = (plain.total + fewer.total) // 2
    monkeypatch.setattr(planning, "device_bytes", lambda device: int(between / 0.92))
    planned, quantisation = plan(files, replace(CHOICE, quantisation="auto", checkpointing=False), microbatch(10))
    assert quantisation == "nf4"
    assert planned.fits


@pytest.mark.parametrize("together", [1, 2])
def test_the_largest_microbatch_is_counted_as_it_is_planted(tiny_folder: Path, together: int) -> None:
    groups = training_data.groups_of(training_data.encoder_of(tiny_folder), training_data.examples(6))
    planted = []
    for group in groups:
        tree = plant_sequences([(row.prompt, row.answer) for row in group], 1000, torch.device("cpu"))
        keys = sum(int(tree.positions[0, trunk.end - 1]) + 1 for trunk in tree.trunks)
        planted.append((tree.ids.numel(), keys))
    counted = largest_microbatch(groups, {"per_device_train_batch_size": together}, shared_prefix=True)
    tokens, keys = zip(*sorted(planted, reverse=True)[:together], strict=True)
    assert (counted.tokens, counted.keys) == (sum(tokens), sum(keys))
    apart = largest_microbatch(groups, {"per_device_train_batch_size": together}, shared_prefix=False)
    assert apart.tokens > 1.5 * counted.tokens


@pytest.mark.parametrize(
    ("shape", "form", "checkpointing"),
    [
        *(("tiny", form, again) for form in ("float32", "bfloat16", "nf4") for again in (False, True)),
        # Of 3B, computed again, in either form: test_real_size.
        ("1b", "bfloat16", False),
        ("1b", "nf4", False),
    ],
)
def test_the_estimate_is_near_the_peak_of_a_step_on_paper(
    tmp_path: Path, shape: str, form: Form, checkpointing: bool
) -> None:
    lora = LoraRecipe(rank=8 if shape == "tiny" else 64)
    lengths = {"query": 200, "document": 800, "explanation": 150}
    groups = groups_of(STUDENT, encoder_of(STUDENT), judged(lengths, queries=1, documents=3))
    largest = largest_microbatch(groups, STUDENT.trainer, shared_prefix=True)
    step = distilled(
        student_on_paper(SHAPES[shape], form, lora), groups, STUDENT, tmp_path, checkpointing=checkpointing
    )
    plain = base_on_paper(SHAPES[shape], "float32" if form == "float32" else "bfloat16")
    choice = Choice(lora, "nf4" if form == "nf4" else "none", False, "auto", checkpointing)
    planned = estimated(plain, choice, largest, checkpointing=checkpointing)
    assert planned.step == pytest.approx(step.peak, rel=NEAR)
