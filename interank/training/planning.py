"""Estimates a training's memory before anything is loaded, chooses its form to fit, and measures the peak."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, AutoModelForSequenceClassification

from interank.engines.layers import model_config
from interank.engines.models import ModelFiles, compute_dtype, device
from interank.errors import TrainingError
from interank.settings import LoraRecipe, Quantisation
from interank.settings.student import Precision
from interank.training.adapters import adapted_layers, adapter_weights
from interank.training.failures import lower
from interank.training.memory import Form, Microbatch, device_bytes, form_of, kept_bytes

# bitsandbytes' NF4: half a byte a weight and a float32 scale for each 64 weights; with double quantisation an 8-bit
# scale for each 64 and a float32 for each 256 scales.
_NF4_BYTES = {False: 0.5 + 4 / 64, True: 0.5 + 1 / 64 + 4 / (64 * 256)}
# An adapter's weight, its gradient, and Adam's two states; under autocast also a copy of the weight in bfloat16.
_ADAPTER_BYTES: dict[Form, int] = {"float32": 16, "bfloat16": 18, "nf4": 8}
# TRL's fused head computes logits in tiles of this many rows and words, whatever the vocabulary.
_TILE_ROWS, _TILE_WORDS = 4096, 32768
# Further bytes for each of a tile's logits: Triton's kernels need none, PyTorch's operations hold seven in float32.
_TILE_BYTES = {"cuda": 0, "cpu": 29}
# The number of a layer's widest states that are held at once while its gradients are computed.
_WORKING = 3
# Part of the device's memory goes to the driver's context, the allocator's gaps, Python and its libraries.
_USABLE = 0.92
_OVERHEAD = {"cuda": 1 * 2**30, "cpu": int(0.6 * 2**30)}


@dataclass(frozen=True, slots=True)
class Plan:
    """An estimate of a training's memory in bytes, by part; `limit` is the device's memory."""

    weights: int
    adapter: int
    activations: int
    working: int
    """The temporary memory of the head or of a layer's backward pass, whichever is larger."""
    overhead: int
    limit: int
    tokens: int
    """The tokens of the largest microbatch; shared prefixes count once."""
    checkpointing: bool
    """Whether activations are recomputed in the backward pass (gradient checkpointing)."""

    @property
    def step(self) -> int:
        """The memory of all tensors at the peak of a step."""
        return self.weights + self.adapter + self.activations + self.working

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.step + self.overhead

    @property
    def fits(self) -> bool:
        """Whether the total fits into the usable memory of the device."""
        return self.total <= _USABLE * self.limit

    def told(self) -> str:
        """The estimate in a line."""
        parts = {name: value for name, value in asdict(self).items() if name in _PARTS}
        listed = ", ".join(f"{name} {gib(value)}" for name, value in parts.items())
        again = "computed again in the backward pass" if self.checkpointing else "kept"
        return (
            f"memory: about {gib(self.total)} of {gib(self.limit)} ({listed}; activations of {self.tokens} tokens, "
            f"{again})"
        )


_PARTS = ("weights", "adapter", "activations", "working", "overhead")


@dataclass(frozen=True, slots=True)
class Choice:
    """The recipe's choices of adapter, number format and checkpointing; `checkpointing` None lets memory decide."""

    lora: LoraRecipe
    quantisation: Quantisation
    double_quantisation: bool
    precision: Precision
    checkpointing: bool | None
    head: bool = False
    """Whether the model has a head of one number in place of the vocabulary's."""
    shorter: tuple[str, ...] = ()
    """The recipe's keys that make a step smaller."""


def plan(files: ModelFiles, choice: Choice, microbatch: Microbatch) -> tuple[Plan, Quantisation]:
    """Estimate a training from the model's configuration, and choose its form where the recipe leaves it open.

    The fastest form that fits is chosen: unquantised weights before NF4, which saves memory and never time, and kept
    activations before recomputed ones.

    Raises:
        TrainingError: No form fits; the message says what would help.
    """
    model = _shape(files, choice.precision, head=choice.head)
    forms: list[Quantisation] = [choice.quantisation]
    if choice.quantisation == "auto":
        # NF4 is slow on a CPU, where memory is not short.
        forms = ["none", "nf4"] if device() == "cuda" else ["none"]
    checkpointing = [False, True] if choice.checkpointing is None else [choice.checkpointing]
    estimates = [
        (estimated(model, replace(choice, quantisation=form), microbatch, checkpointing=each), form)
        for form in forms
        for each in checkpointing
    ]
    chosen = next(((estimate, form) for estimate, form in estimates if estimate.fits), None)
    if chosen is None:
        least, form = min(estimates, key=lambda each: each[0].total)
        advice = _advice(least, replace(choice, quantisation=form))
        raise TrainingError(f"{files.name} cannot be trained here: {least.told()}; {advice}")
    return chosen


def weights_of(files: ModelFiles, *, head: bool = False) -> int:
    """The number of a model's weights, computed from its configuration."""
    return sum(weight.numel() for weight in _shape(files, head=head).parameters())


def _shape(files: ModelFiles, precision: Precision = "auto", *, head: bool) -> Any:
    """The model without weights, on the meta device."""
    config = model_config(files.folder)
    # Encoders have no language model's head.
    writes = not head and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    with torch.device("meta"):
        kind = AutoModelForCausalLM if writes else AutoModelForSequenceClassification
        return kind.from_config(config, dtype=compute_dtype(precision))


def peak_bytes() -> int:
    """The peak memory of this process on the device that computes."""
    if device() == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def gib(number: float) -> str:
    """A number of bytes in GiB, as text."""
    return f"{number / 2**30:.2f} GiB"


def estimated(model: Any, choice: Choice, microbatch: Microbatch, *, checkpointing: bool) -> Plan:
    """The plan of one form of training; the model may be on the meta device, and `choice` has its quantisation."""
    config, tokens, itemsize = model.config.get_text_config(), microbatch.tokens, int(model.dtype.itemsize)
    form: Form = "nf4" if choice.quantisation == "nf4" else form_of(model)
    layers = config.num_hidden_layers
    adapted = adapted_layers(layers, choice.lora)
    # Layers below the first adapter keep nothing for the backward pass.
    activations = kept_bytes(config, microbatch, form) * adapted // layers
    rows = min(microbatch.scored, _TILE_ROWS)
    head = rows * (_TILE_WORDS * itemsize + min(config.vocab_size, _TILE_WORDS) * _TILE_BYTES[device()])
    # Gradients of the scored tokens' hidden states, summed in float32.
    head += microbatch.scored * config.hidden_size * 4
    widest = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layer = _WORKING * tokens * widest * itemsize
    if checkpointing:
        # Each layer's input, and one layer at a time in full.
        layer += activations // adapted
        activations = config.hidden_size * layers * tokens * itemsize
    return Plan(
        weights=_weight_bytes(model, choice),
        adapter=adapter_weights(model, choice.lora) * _ADAPTER_BYTES[form],
        activations=activations,
        working=max(head, layer),
        overhead=_OVERHEAD[device()],
        limit=device_bytes(torch.device(device())),
        tokens=tokens,
        checkpointing=checkpointing,
    )


def _weight_bytes(model: Any, choice: Choice) -> int:
    whole, size = sum(weight.numel() for weight in model.parameters()), int(model.dtype.itemsize)
    if choice.quantisation != "nf4":
        return int(whole * size)
    head = model.get_output_embeddings()
    quantised = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    return int(quantised * _NF4_BYTES[choice.double_quantisation] + (whole - quantised) * size)


def _advice(least: Plan, choice: Choice) -> str:
    """The changes of the recipe that would help, the most effective first."""
    changes = []
    if choice.quantisation != "nf4":
        changes.append("set quantisation: nf4")
    if not least.checkpointing:
        changes.append("set trainer.gradient_checkpointing: true")
    changes.append(lower(choice.shorter))
    if choice.lora.rank > 16:
        changes.append("lower lora.rank")
    return "; or ".join(changes)
