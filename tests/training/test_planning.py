"""What a training takes is estimated from the configuration alone, and what cannot fit is refused with advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interank.engines.models import find_model, load_model
from interank.errors import TrainingError
from interank.recipe import LoraRecipe
from interank.training import planning
from interank.training.adapters import fresh_adapter
from interank.training.planning import Choice, plan

CHOICE = Choice(LoraRecipe(rank=4, alpha=8), "none", False, "auto", None)


@pytest.mark.parametrize("layers", [None, 1])
def test_weights_and_adapter_are_those_that_are_loaded(tiny_folder: Path, layers: int | None) -> None:
    files = find_model(str(tiny_folder))
    choice = replace(CHOICE, lora=CHOICE.lora.model_copy(update={"layers": layers}))
    planned, quantisation = plan(files, choice, tokens=100)
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
        plan(files, replace(CHOICE, lora=LoraRecipe(rank=4, alpha=8, layers=layers)), tokens=1000)[0]
        for layers in (2, 1)
    )
    assert half.activations == whole.activations // 2
    with pytest.raises(TrainingError, match=r"lora\.layers: 3 was found, and the model has 2 layers"):
        plan(files, replace(CHOICE, lora=LoraRecipe(layers=3)), tokens=10)


@pytest.mark.parametrize("double", [False, True])
def test_nf4_weights_are_estimated_as_bitsandbytes_holds_them(tiny_folder: Path, double: bool) -> None:
    files = find_model(str(tiny_folder))
    planned, _ = plan(files, replace(CHOICE, quantisation="nf4", double_quantisation=double), tokens=10)
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
    whole, _ = plan(files, CHOICE, tokens=200_000)
    monkeypatch.setattr(planning, "device_bytes", lambda device: whole.total)
    less, _ = plan(files, CHOICE, tokens=200_000)
    assert less.checkpointing
    assert less.total < whole.total
    assert "computed again" in less.told()


def test_what_cannot_fit_is_refused_with_advice(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_model(str(tiny_folder))
    monkeypatch.setattr(planning, "device_bytes", lambda device: 10**6)
    with pytest.raises(TrainingError, match=r"cannot be trained here: memory: about .* of 0\.00 GiB.*nf4.*batch_size"):
        plan(files, CHOICE, tokens=100)


def test_a_gpu_that_is_too_small_for_plain_weights_gets_nf4(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_model(str(tiny_folder))
    monkeypatch.setattr(planning, "device", lambda: "cuda")
    monkeypatch.setattr(planning, "device_bytes", lambda device: 10**12)
    assert plan(files, replace(CHOICE, quantisation="auto"), tokens=10)[1] == "none"
    plain, _ = plan(files, replace(CHOICE, checkpointing=False), tokens=10)
    fewer, _ = plan(files, replace(CHOICE, checkpointing=False, quantisation="nf4"), tokens=10)
    between = (plain.total + fewer.total) // 2
    monkeypatch.setattr(planning, "device_bytes", lambda device: int(between / 0.92))
    planned, quantisation = plan(files, replace(CHOICE, quantisation="auto", checkpointing=False), tokens=10)
    assert quantisation == "nf4"
    assert planned.fits
