"""Training and scoring on paper: the real code on tensors of shapes without memory, bytes and operations counted.

A model's weights are fake tensors (`torch._subclasses.fake_tensor`), so that whatever they meet is fake too and nothing
is computed; ids, masks and rewards stay real, as the code looks at them. Memory is counted by storages: each is added
when an operation gives a tensor in it, and taken away when it dies. What is asked of a fake number (`.item()`) is
answered 1, and whether two are equal, yes.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from bitsandbytes.functional import QuantState
from peft import PeftModel
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from interank.engines.tree import attention
from interank.settings import LoraRecipe
from interank.training.adapters import fresh_adapter
from interank.training.memory import Form

_NF4_BLOCK = 64
FAKE = FakeTensorMode(allow_non_fake_inputs=True)
_ATEN = torch.ops.aten
_NEW = (_ATEN.empty.memory_format, _ATEN.zeros.default, _ATEN.full.default)
# New numbers by which TRL's head is known: tiles of 32,768 logits a row, and as many sums as rows.
_TILE, _ROWS = 32 * 32768, 32


class Paper(TorchDispatchMode):
    """Counts bytes that are alive, the most of them at once, and operations."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.alive = self.peak = self.operations = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for states in (*model.parameters(), *model.buffers()):
            self._note(states)
            quantised = getattr(states, "quant_state", None)
            if quantised is not None:
                self._note(quantised.absmax)
        self.weights = self.alive

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _ATEN._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return 1.0 if args[0].is_floating_point() else 1
        if func is _ATEN.equal.default and any(isinstance(states, FakeTensor) for states in args):
            return True
        if func is _ATEN.index.Tensor:
            args = (args[0], _places(args[1]), *args[2:])
        given = _made(func, args, kwargs)
        self._count(func, args, kwargs, given)
        if "out" not in kwargs:
            for states in tree_leaves(given):
                if isinstance(states, torch.Tensor):
                    self._note(states)
        return given

    def _count(self, func: Any, args: Any, kwargs: Any, given: Any) -> None:
        packet = func._overloadpacket
        if packet in flop_registry:
            self.operations += flop_registry[packet](*args, **kwargs, out_val=given)
        elif packet in (_ATEN._scaled_dot_product_flash_attention_for_cpu,):
            (batch, heads, asked, size), seen = args[0].shape, args[1].shape[2]
            self.operations += 4 * batch * heads * asked * seen * size
        elif packet in (_ATEN._scaled_dot_product_flash_attention_for_cpu_backward,):
            (batch, heads, asked, size), seen = args[1].shape, args[2].shape[2]
            self.operations += 10 * batch * heads * asked * seen * size
        elif packet is torch.ops.bitsandbytes.gemm_4bit:
            self.operations += 2 * args[0].numel() * args[2][0]

    def _note(self, states: torch.Tensor) -> None:
        storage = states.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._storages:
            self._storages[key] = weakref.ref(storage, lambda _: self._gone(key, size))
            self.alive += size
            self.peak = max(self.peak, self.alive)

    def _gone(self, key: int, size: int) -> None:
        del self._storages[key]
        self.alive -= size


def _made(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation gives; the head's tiles of logits and sums of rows are fake, as what comes into them is."""
    if func in _NEW and kwargs.get("dtype") in (None, torch.float32, torch.bfloat16):
        shape = args[0]
        if math.prod(shape) > _TILE or (len(shape) == 1 and shape[0] > _ROWS):
            with FAKE:
                return func(*args, **kwargs)
    return func(*args, **kwargs)


def _places(indices: Sequence[Any]) -> list[Any]:
    """Real masks as places: how many they let through, no fake tensor could know."""
    found: list[Any] = []
    for index in indices:
        real = isinstance(index, torch.Tensor) and index.dtype == torch.bool and not isinstance(index, FakeTensor)
        found += index.nonzero().unbind(1) if real else [index]
    return found


@contextmanager
def no_masks() -> Iterator[None]:
    """Attention behind a prefix as GPUs compute it, without a mask in memory; torch's own bias cannot be fake.

    How much is computed and kept does not depend on which keys count.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "causal_lower_right", lambda *_: None)
        yield


def base_on_paper(shape: dict[str, Any], form: Form) -> LlamaForCausalLM:
    """A Llama of the shape, its weights without memory; in NF4 the linear layers are bitsandbytes' own."""
    config = LlamaConfig(**shape, max_position_embeddings=8192, tie_word_embeddings=True)
    dtype = torch.float32 if form == "float32" else torch.bfloat16
    with torch.device("meta"):
        model = LlamaForCausalLM._from_config(config, dtype=dtype, attn_implementation="sdpa")
        if form == "nf4":
            settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
            model = replace_with_bnb_linear(model, modules_to_not_convert=["lm_head"], quantization_config=settings)
            model.is_loaded_in_4bit = True
    return model.requires_grad_(False)


def student_on_paper(shape: dict[str, Any], form: Form, lora: LoraRecipe) -> PeftModel:
    """The same with a fresh adapter, as `distill` begins."""
    with torch.device("meta"):
        model = fresh_adapter(base_on_paper(shape, form), lora, seed=0)
    return faked(model)


def policy_on_paper(shape: dict[str, Any], form: Form, lora: LoraRecipe) -> PeftModel:
    """The same with the reference's adapter beside it, which TRL would make of real numbers where `beta` is set."""
    with torch.device("meta"):
        model = fresh_adapter(base_on_paper(shape, form), lora, seed=0)
        model.add_adapter("ref", model.peft_config["default"])
    policy = faked(model)
    policy.add_adapter = lambda *_: None
    return policy


def rewarded_on_paper(shape: dict[str, Any], form: Form, lora: LoraRecipe, own: LoraRecipe) -> PeftModel:
    """As `policy_on_paper`, with a reward model's adapter of the shape `own` beside policy and reference."""
    with torch.device("meta"):
        model = fresh_adapter(base_on_paper(shape, form), lora, seed=0)
        model.add_adapter("ref", model.peft_config["default"])
        config = replace(model.peft_config["default"], r=own.rank, lora_alpha=own.alpha, inference_mode=True)
        model.add_adapter("reward", config)
        model.set_adapter("default")
    policy = faked(model)
    policy.add_adapter = lambda *_: None
    return policy


def faked(model: Any) -> Any:
    """A model on no device with fake weights on the CPU; a tied weight stays one."""
    made: dict[int, torch.Tensor] = {}
    dtype = model.dtype

    def fake(states: torch.Tensor) -> torch.Tensor:
        if id(states) not in made:
            made[id(states)] = _packed(states, dtype) if type(states).__name__ == "Params4bit" else _alike(states)
        return made[id(states)]

    for module in model.modules():
        for held in (module._parameters, module._buffers):
            held.update({name: fake(states) for name, states in held.items() if states is not None})
    # Where trainers would put it, it is: a fake tensor cannot be moved.
    model.to = lambda *_, **__: model
    return model


def _alike(states: torch.Tensor) -> torch.Tensor:
    with FAKE:
        found = torch.empty(states.shape, dtype=states.dtype)
    return torch.nn.Parameter(found, states.requires_grad) if isinstance(states, torch.nn.Parameter) else found


def _packed(states: torch.Tensor, dtype: torch.dtype) -> torch.nn.Parameter:
    """What bitsandbytes holds of a weight: two numbers a byte, and a float32 scale for each 64."""
    with FAKE:
        packed = torch.empty(((states.numel() + 1) // 2, 1), dtype=torch.uint8)
        scales, code = torch.empty(-(-states.numel() // _NF4_BLOCK)), torch.empty(16)
    parameter = torch.nn.Parameter(packed, requires_grad=False)
    parameter.quant_state = QuantState(  # type: ignore[attr-defined]
        absmax=scales, shape=states.shape, code=code, blocksize=_NF4_BLOCK, quant_type="nf4", dtype=dtype
    )
    return parameter
