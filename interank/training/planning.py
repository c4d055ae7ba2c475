"""What a training will take of the device's memory, told before anything is loaded, and what it took."""

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

# bitsandbytes' NF4: half a byte a weight and a float32 scale for each 64; quantised again, 8 bits for each of these
# and a float32 for each 256.
_NF4_BYTES = {False: 0.5 + 4 / 64, True: 0.5 + 1 / 64 + 4 / (64 * 256)}
# An adapter's weight, its gradient, and Adam's two states; under autocast a copy of the weight in bfloat16 besides.
_ADAPTER_BYTES: dict[Form, int] = {"float32": 16, "bfloat16": 18, "nf4": 8}
# TRL's fused head computes logits in tiles of so many rows and words, whatever the vocabulary.
_TILE_ROWS, _TILE_WORDS = 4096, 32768
# Bytes for each of a tile's logits besides: Triton's kernels need none, PyTorch's operations hold seven in float32.
_TILE_BYTES = {"cuda": 0, "cpu": 29}
# Of a layer's widest states, so many are held at once while its gradients are computed.
_WORKING = 3
# The device's memory is never all ours: the driver's context, the allocator's gaps, Python and its libraries.
_USABLE = 0.92
_OVERHEAD = {"cuda": 1 * 2**30, "cpu": int(0.6 * 2**30)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes by part; `limit` is what the device gives."""

    weights: int
    adapter: int
    activations: int
    working: int
    """What the head, or a layer's backward pass, holds while it computes."""
    overhead: int
    limit: int
    tokens: int
    """Those of the largest microbatch; what its rows share counts once."""
    checkpointing: bool
    """Whether activations are computed again in the backward pass."""

    @property
    def step(self) -> int:
        """What tensors take at the peak of a step."""
        return self.weights + self.adapter + self.activations + self.working

    @property
    def total(self) -> int:
        """All parts."""
        return self.step + self.overhead

    @property
    def fits(self) -> bool:
        """Whether the device has so much."""
        return self.total <= _USABLE * self.limit

    def told(self) -> str:
        """In a line."""
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
    """What is trained in which form; `checkpointing` None lets memory decide."""

    lora: LoraRecipe
    quantisation: Quantisation
    double_quantisation: bool
    precision: Precision
    checkpointing: bool | None
    head: bool = False
    """Whether it has a head of one number in place of the vocabulary's."""
    shorter: tuple[str, ...] = ()
    """The recipe's keys by which a step gets smaller."""


def plan(files: ModelFiles, choice: Choice, microbatch: Microbatch) -> tuple[Plan, Quantisation]:
    """Estimate the training of a model from its configuration, and choose its form where the recipe leaves it open.

    Of what fits, the fastest: plain weights before NF4, which saves memory and never time, and activations kept
    before computed again.

    Raises:
        TrainingError: It cannot fit; says what would help.
    """
    model = _shape(files, choice.precision, head=choice.head)
    forms: list[Quantisation] = [choice.quantisation]
    if choice.quantisation == "auto":
        # NF4 on a CPU is for trying things out: it is slow there, and memory is not short.
        forms = ["none", "nf4"] if device() == "cuda" else ["none"]
    again = [False, True] if choice.checkpointing is None else [choice.checkpointing]
    ways = [
        (estimated(model, replace(choice, quantisation=form), microbatch, checkpointing=each), form)
        for form in forms
        for each in again
    ]
    chosen = next(((made, form) for made, form in ways if made.fits), None)
    if chosen is None:
        least, form = min(ways, key=lambda way: way[0].total)
        advice = _advice(least, replace(choice, quantisation=form))
        raise TrainingError(f"{files.name} cannot be trained here: {least.told()}; {advice}")
    return chosen


def weights_of(files: ModelFiles, *, head: bool = False) -> int:
    """How many weights a model has, told from its configuration."""
    return sum(weight.numel() for weight in _shape(files, head=head).parameters())


def _shape(files: ModelFiles, precision: Precision = "auto", *, head: bool) -> Any:
    """The model on no device."""
    config = model_config(files.folder)
    # Encoders that rank write no text.
    writes = not head and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    with torch.device("meta"):
        kind = AutoModelForCausalLM if writes else AutoModelForSequenceClassification
        return kind.from_config(config, dtype=compute_dtype(precision))


def peak_bytes() -> int:
    """The most memory that this process has held, on the device that computes."""
    if device() == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def gib(number: float) -> str:
    """Bytes to be read."""
    return f"{number / 2**30:.2f} GiB"


def estimated(model: Any, choice: Choice, microbatch: Microbatch, *, checkpointing: bool) -> Plan:
    """The plan of one way to train a model, which may be on no device; `choice` says how it is quantised."""
    config, tokens, itemsize = model.config.get_text_config(), microbatch.tokens, int(model.dtype.itemsize)
    form: Form = "nf4" if choice.quantisation == "nf4" else form_of(model)
    layers = config.num_hidden_layers
    adapted = adapted_layers(layers, choice.lora)
    # What lies below the first adapter is not kept for a backward pass.
    kept = kept_bytes(config, microbatch, form) * adapted // layers
    rows = min(microbatch.scored, _TILE_ROWS)
    head = rows * (_TILE_WORDS * itemsize + min(config.vocab_size, _TILE_WORDS) * _TILE_BYTES[device()])
    # Gradients of the last tokens' states, summed in float32.
    head += microbatch.scored * config.hidden_size * 4
    widest = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layer = _WORKING * tokens * widest * itemsize
    if checkpointing:
        # Each layer's input, and one layer at a time in full.
        layer += kept // adapted
        kept = config.hidden_size * layers * tokens * itemsize
    return Plan(
        weights=_weight_bytes(model, choice),
        adapter=adapter_weights(model, choice.lora) * _ADAPTER_BYTES[form],
        activations=kept,
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


def _advice(kept: Plan, choice: Choice) -> str:
    """What would help, most first."""
    ways = []
    if choice.quantisation != "nf4":
        ways.append("set quantisation: nf4")
    if not kept.checkpointing:
        ways.append("set trainer.gradient_checkpointing: true")
    ways.append(lower(choice.shorter))
    if choice.lora.rank > 16:
        ways.append("lower lora.rank")
    return "; or ".join(ways)
