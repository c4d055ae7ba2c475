"""What a model's layers allow, told from its configuration before anything is loaded; training and ranking ask here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

from interank.errors import ModelError

# What transformers calls layers whose tokens look at keys and values, all of them or those in a window.
_ATTENTION = frozenset({"full_attention", "sliding_attention"})


def check_layers(name: str, folder: Path) -> None:
    """Stop before a language model is loaded that would be computed wrongly.

    Args:
        name: What the recipe calls it.
        folder: Its files.

    Raises:
        ModelError: Naming its layers.
    """
    refuse_other_layers(name, AutoConfig.from_pretrained(folder, trust_remote_code=False))


def refuse_other_layers(name: str, config: Any) -> None:
    """As `check_layers`, of a configuration that was read.

    Raises:
        ModelError: Naming the layers.
    """
    kinds = {*(getattr(config.get_text_config(), "layer_types", None) or ())}
    if others := sorted(kinds - _ATTENTION):
        raise ModelError(
            f"{name} has layers of the kind {', '.join(others)} (config.layer_types), whose state is handed from token "
            "to token, and prompts that share their beginning are computed wrongly with it; expected full_attention or "
            "sliding_attention only; use another model"
        )
    made = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if not kinds and getattr(made, "_is_stateful", False):
        raise ModelError(
            f"{name} ({config.model_type}) hands a state from token to token, and prompts that share their beginning "
            "are computed wrongly with it; use a model whose layers are attention"
        )
