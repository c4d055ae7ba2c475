"""PEFT's kinds and variants of adapters, with random weights that move every score, and artifacts that hold one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    BOFTConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    TrainableTokensConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM

from interank.artifact import Workplace, create
from interank.engines.bases import base_facts
from interank.engines.models import ModelFiles, device, find_model
from interank.settings import PromptSettings, Quantisation
from tests.support.tiny import strong_model

_TWO = ["q_proj", "v_proj"]
_TOKENS = [1, 2, 5, 30, 40, 50, 60, 70, 80, 90]


def _lora(*more: str, **settings: Any) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=[*_TWO, *more], **settings)


RIGHT: Mapping[str, Callable[[], Any]] = {
    "lora": _lora,
    "rslora": lambda: _lora(use_rslora=True),
    "dora": lambda: _lora(use_dora=True),
    "pissa": lambda: _lora(init_lora_weights="pissa"),
    "olora": lambda: _lora(init_lora_weights="olora"),
    "patterns": lambda: _lora(rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3}),
    "one layer": lambda: _lora(layers_to_transform=[1]),
    "bias": lambda: _lora(bias="all"),
    "lora_bias": lambda: _lora(lora_bias=True),
    "all-linear": lambda: LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"),
    "parameters": lambda: LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=[], target_parameters=["q_proj.weight"]
    ),
    "replication": lambda: _lora(layer_replication=[[0, 2], [0, 2]]),
    "head": lambda: _lora("lm_head"),
    "embeddings": lambda: _lora("embed_tokens"),
    "both ends": lambda: _lora("lm_head", "embed_tokens"),
    "both ends, one adapter": lambda: _lora("lm_head", "embed_tokens", ensure_weight_tying=True),
    "head, dora": lambda: _lora("lm_head", use_dora=True),
    "embeddings, dora": lambda: _lora("embed_tokens", use_dora=True),
    "whole head": lambda: _lora(modules_to_save=["lm_head"]),
    "whole embeddings": lambda: _lora(modules_to_save=["embed_tokens"]),
    "both ends whole": lambda: _lora(modules_to_save=["lm_head", "embed_tokens"]),
    "both ends as one": lambda: _lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    "whole norms": lambda: _lora(modules_to_save=["input_layernorm"]),
    "tokens": lambda: _lora(trainable_token_indices=_TOKENS),
    "tokens alone": lambda: TrainableTokensConfig(
        task_type="CAUSAL_LM", token_indices=_TOKENS, target_modules=["embed_tokens"]
    ),
    "ia3": lambda: IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "ia3 of the head": lambda: IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "lm_head"], feedforward_modules=[]
    ),
    "loha": lambda: LoHaConfig(task_type="CAUSAL_LM", r=4, target_modules=[*_TWO, "lm_head"]),
    "lokr": lambda: LoKrConfig(task_type="CAUSAL_LM", r=4, target_modules=_TWO),
    "oft": lambda: OFTConfig(task_type="CAUSAL_LM", oft_block_size=8, target_modules=_TWO),
    "boft": lambda: BOFTConfig(task_type="CAUSAL_LM", boft_block_size=4, target_modules=_TWO),
    "hra": lambda: HRAConfig(task_type="CAUSAL_LM", r=4, target_modules=_TWO),
    "vera": lambda: VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=_TWO),
    "fourier": lambda: FourierFTConfig(task_type="CAUSAL_LM", n_frequency=10, target_modules=_TWO),
    "norms": lambda: LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
}
"""What has to rank as PEFT's own forward pass does, by what it is."""
UNFOLDABLE = {"lora_bias"}
"""Those that cannot be merged into their base."""

REFUSED: Mapping[str, tuple[Callable[[], Any], str]] = {
    "prompt": (lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "kind PROMPT_TUNING"),
    "prefix": (lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "kind PREFIX_TUNING"),
    "adalora": (
        lambda: AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, total_step=10, target_modules=_TWO),
        "kind ADALORA",
    ),
    "alora": (lambda: _lora(alora_invocation_tokens=[5, 6]), "asks for alora_invocation_tokens"),
}
"""What is refused, and the words for it."""


def strong_base(folder: Path, *, tied: bool) -> Path:
    """A tiny base with large weights, whose head is its embeddings or a matrix of its own."""
    strong_model(folder)
    if not tied:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        own = model.lm_head.weight.detach().clone()
        model.lm_head.weight = torch.nn.Parameter(own + torch.randn_like(own) * 0.1)
        model.config.tie_word_embeddings = False
        model.save_pretrained(folder)
    return folder


def shaken_adapter(folder: Path, base: Path, settings: Any, *, kind: Any = AutoModelForCausalLM, **options: Any) -> Any:
    """An adapter of these settings with random weights; PEFT's own model with it, unmerged."""
    with warnings.catch_warnings():
        # Of tied layers, of which it is to be seen what becomes.
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        adapted = get_peft_model(kind.from_pretrained(base, dtype=torch.float32, **options), settings)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += torch.randn_like(weight) * 0.1
        adapted.peft_config["default"].base_model_name_or_path = str(base)
        adapted.save_pretrained(folder)
        return PeftModel.from_pretrained(kind.from_pretrained(base, dtype=torch.float32, **options), folder).eval()


def adapter_artifact(out: Path, base: Path, settings: Any) -> Any:
    """An output of distill that holds such an adapter; PEFT's own model with it."""
    place = create(out, "adapter", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    model = shaken_adapter(place.folder / "adapter", base, settings)
    notes = adapter_notes(find_model(str(base)), PromptSettings(), "none", out)
    place.finish(seed=0, counts={}, notes=notes)
    return model


def adapter_notes(base: ModelFiles, prompt: PromptSettings, quantisation: Quantisation, out: Path) -> dict[str, Any]:
    """What the manifest of an adapter at `out` says so that it can be used as it was trained."""
    return {
        **base_facts(base, out),
        "quantisation": quantisation,
        "device": device(),
        "prompt": prompt.model_dump(mode="json"),
        "prompt_hash": prompt.wording,
    }
