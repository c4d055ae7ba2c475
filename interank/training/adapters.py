"""LoRA adapters: adds a fresh one to a base model, counts its weights, and saves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import set_seed

from interank.engines.models import HEAD_MODULES, differentiable
from interank.errors import TrainingError
from interank.resources import hub_name
from interank.settings import LoraRecipe
from interank.wording import listed


def fresh_adapter(model: Any, lora: LoraRecipe, *, seed: int, head: bool = False) -> PeftModel:
    """The model with an untrained adapter, which does not change its outputs; the seed sets the initial weights.

    The base's weights keep their number format and are not trained. With `head` a classifier's head is trained and
    saved with the adapter.

    Raises:
        TrainingError: The model has fewer layers than `lora.layers`, or no linear layers of a name in `lora.targets`.
    """
    layers = model.config.get_text_config().num_hidden_layers
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=adapted_names(model, lora),
        layers_to_transform=list(range(layers))[-adapted_layers(layers, lora) :] if lora.layers else None,
        bias="none",
        # For a classifier PEFT trains and saves the head too.
        task_type="SEQ_CLS" if head else "CAUSAL_LM",
    )
    set_seed(seed)
    return get_peft_model(differentiable(model), config)


def adapted_names(model: Any, lora: LoraRecipe) -> list[str]:
    """The names of the linear layers that get adapters.

    Raises:
        TrainingError: The model has none of a name that the recipe gives.
    """
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    names = sorted(linear - {*HEAD_MODULES})
    if missing := sorted({*(lora.targets or ())} - {*names}):
        raise TrainingError(
            f"lora.targets: the model has no linear layers named {listed(missing)}; choose from "
            f"{', '.join(names)}, or leave lora.targets out for all of them"
        )
    return list(lora.targets or names)


def adapted_layers(layers: int, lora: LoraRecipe) -> int:
    """The number of a model's layers that get adapters.

    Raises:
        TrainingError: The recipe asks for more than the model has.
    """
    if lora.layers is not None and lora.layers > layers:
        raise TrainingError(f"lora.layers is {lora.layers}, and the model has {layers} layers; lower it")
    return lora.layers or layers


def adapter_weights(model: Any, lora: LoraRecipe) -> int:
    """The number of weights of a fresh adapter, computed from the layers' shapes.

    Raises:
        TrainingError: See `fresh_adapter`.
    """
    names, layers = adapted_names(model, lora), model.config.get_text_config().num_hidden_layers
    on_all = sum(
        lora.rank * (module.in_features + module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] in names
    )
    return int(on_all * adapted_layers(layers, lora) // layers)


def save_adapter(model: PeftModel, folder: Path, *, tokenizer: Any, base: str) -> None:
    """Write adapter and tokenizer in PEFT's format, with the base's name in the recipe instead of its local path."""
    config_of = model.peft_config["default"]
    config_of.base_model_name_or_path, config_of.revision = hub_name(base)
    model.save_pretrained(folder, selected_adapters=["default"], safe_serialization=True)
    tokenizer.save_pretrained(folder)
    # PEFT writes sets, whose order varies between runs.
    config = folder / "adapter_config.json"
    facts = json.loads(config.read_text("utf-8"))
    for name in ("target_modules", "modules_to_save"):
        if facts.get(name):
            facts[name] = sorted(facts[name])
    config.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")
    # PEFT writes an empty card.
    (folder / "README.md").unlink(missing_ok=True)
