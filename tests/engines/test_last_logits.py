"""Labels' logits are the final hidden state times the labels' rows in float32, in every engine and with any head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import linear

from interank.engines.last_logits import head_rows, last_logits
from interank.engines.prompts import Prompt
from interank.engines.transformers import TransformersEngine
from tests.support.families import family_model

VOCABULARY, LABELS = 300, (40, 41, 42)
FAMILIES = ["llama 3", "qwen3", "gemma3", "gemma2", "qwen3.5"]


def in_bfloat16(family: str) -> Any:
    return copy.deepcopy(family_model(family, VOCABULARY)).to(torch.bfloat16)


def last_hidden(model: Any, ids: torch.Tensor) -> torch.Tensor:
    states: torch.Tensor = model.get_decoder()(input_ids=ids).last_hidden_state[:, -1]
    return states


@pytest.mark.parametrize("family", FAMILIES)
def test_every_engine_multiplies_in_float32(family: str) -> None:
    model = in_bfloat16(family)
    prompts = [Prompt(tuple(range(3, 40)), tuple(range(50 + n, 90 + n)), (5, 6)) for n in range(4)]
    found = TransformersEngine(model).label_logits(prompts, LABELS)
    rows = model.get_output_embeddings().weight[list(LABELS)].float()
    cap = model.config.final_logit_softcapping if "gemma" in family else None
    for prompt, labels in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt.ids])
        with torch.no_grad():
            plain = last_logits(model, (slice(None), -1), LABELS, input_ids=ids, use_cache=False)[0]
            exact = linear(last_hidden(model, ids).float(), rows)[0]
        exact = cap * torch.tanh(exact / cap) if cap else exact
        # As in one pass over the whole text, to the last digits of float32; batches in bfloat16 differ in theirs.
        assert plain[list(LABELS)].tolist() == pytest.approx(exact.tolist(), rel=1e-5, abs=1e-5)
        assert torch.tensor(labels.logits) == pytest.approx(exact, rel=0.05, abs=0.05 * float(exact.abs().max()))
        # What bfloat16 holds ends in 16 zeros.
        assert any(torch.tensor(value).bfloat16().item() != value for value in labels.logits)
        assert 0 < labels.mass < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_nothing_is_computed_anew(family: str) -> None:
    model, ids = family_model(family, VOCABULARY), torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(last_logits(model, (slice(None), -1), LABELS, input_ids=ids), model(ids).logits[:, -1])


def _lora(model: Any) -> Any:
    return get_peft_model(model, LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False))


def _saved(model: Any) -> Any:
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    torch.nn.init.normal_(adapted.get_output_embeddings().modules_to_save["default"].weight)
    return adapted


def _biased(model: Any) -> Any:
    model.lm_head.bias = torch.nn.Parameter(torch.randn(VOCABULARY))
    return model


@pytest.mark.parametrize("change", [_lora, _saved, _biased, lambda model: model])
@pytest.mark.parametrize("disabled", [False, True])
def test_a_head_s_rows_are_its_own_outputs(change: Callable[[Any], Any], disabled: bool) -> None:
    torch.manual_seed(0)
    model = change(family_model("llama 3", VOCABULARY, tie_word_embeddings=False))
    head, hidden = model.get_output_embeddings(), torch.randn(5, 64)
    off = model.disable_adapter() if disabled and isinstance(model, PeftModel) else nullcontext()
    with off, torch.no_grad():
        found, whole = head_rows(head, hidden, LABELS), head(hidden)
    assert found is not None
    assert torch.allclose(found, whole[:, list(LABELS)], rtol=1e-5, atol=1e-5)


def test_a_head_of_another_make_is_left_as_it_computes() -> None:
    model, ids = in_bfloat16("llama 3"), torch.arange(3, 40)[None]

    class Other(torch.nn.Linear):
        """Stands for a head that is quantised."""

    model.lm_head.__class__ = Other
    with torch.no_grad():
        assert torch.equal(
            last_logits(model, (slice(None), -1), LABELS, input_ids=ids), model(ids).logits[:, -1].float()
        )


def test_distinct_hidden_states_are_graded_apart() -> None:
    """In bfloat16 logits near 16 stand 1/8 apart; a difference of a hundredth is seen all the same."""
    head = torch.nn.Linear(64, VOCABULARY, bias=False)
    torch.nn.init.constant_(head.weight, 0.25)
    hidden = torch.ones(2, 64)
    hidden[1, 0] += 0.03125
    half, states = copy.deepcopy(head).bfloat16(), hidden.bfloat16()
    with torch.no_grad():
        found = head_rows(half, states, LABELS)
        assert half(states)[0, 40] == half(states)[1, 40]
    assert found is not None
    assert float(found[1, 0] - found[0, 0]) == pytest.approx(0.0078125)
