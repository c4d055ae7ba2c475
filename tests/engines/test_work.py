"""The operations counted are those of the model's matrices; the tokens counted are those that went through it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, PreTrainedConfig

from interank.engines.prompts import Prompt
from interank.engines.protocol import Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.work import Work, flops, positions_attended
from tests.support.families import family_model


def test_positions_attended_by_hand() -> None:
    assert positions_attended(0, 3) == 1 + 2 + 3
    assert positions_attended(10, 2) == 11 + 12
    assert positions_attended(5, 0) == 0


def test_work_adds_and_subtracts() -> None:
    one, other = Work(1, 2, 3, 4), Work(10, 20, 30, 40)
    assert one + other == Work(11, 22, 33, 44)
    assert (one + other) - other == one


def test_a_shared_prefix_is_read_once_and_padding_never(tiny_folder: Path) -> None:
    engine = TransformersEngine(AutoModelForCausalLM.from_pretrained(tiny_folder))
    prefix = tuple(range(10, 17))
    prompts = [Prompt(prefix, (20, 21, 22), (23,)), Prompt(prefix, (24,), (25,))]
    engine.label_logits(prompts, [30, 31, 32])
    # The prefix of 7, then 4 and 2 tokens after it.
    attended = positions_attended(0, 7) + positions_attended(7, 4) + positions_attended(7, 2)
    assert engine.work == Work(tokens_read=13, attended=attended, projected=2)
    before = engine.work
    completions = engine.generate(prompts[:1], Sampling(5), end=-1)
    assert len(completions[0].ids) == 5
    spent = engine.work - before
    assert (spent.tokens_read, spent.tokens_written) == (11, 5)
    assert spent.attended == positions_attended(0, 7) + positions_attended(7, 4) + positions_attended(11, 5)


def test_operations_agree_with_torch_s_own_count(tiny_folder: Path) -> None:
    # torch counts the attention's full square, where a causal model needs its lower half.
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    length = 24
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.arange(length)[None] + 5)
    square = Work(tokens_read=length, attended=length * length, projected=length)
    assert flops(model.config, square) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_an_unknown_shape_has_no_count() -> None:
    assert flops(PreTrainedConfig(), Work(1, 1, 1, 1)) is None


@pytest.mark.parametrize("family", ["gemma3", "qwen3.5", "lfm2"])
def test_layers_that_do_not_attend_to_all_before_them_have_no_count(family: str) -> None:
    assert flops(family_model(family, 300).config, Work(1, 1, 1, 1)) is None
