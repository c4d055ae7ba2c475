"""How a model's layers may be computed, by its configuration, before loading; for training and ranking alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig

from interank.errors import ModelError, TrainingError

# transformers' names for layers of attention, full or in a window.
_ATTENTION = frozenset({"full_attention", "sliding_attention"})
STATES = frozenset({"linear_attention", "conv"})
"""transformers' names for layers that pass a recurrent state from token to token."""
CHANGING_ROPE = frozenset({"dynamic", "longrope"})
"""Kinds of rotary positions whose frequencies change in texts longer than the model's original context."""


@dataclass(frozen=True, slots=True)
class LayerSupport:
    """How texts with a common prefix may be computed together."""

    tree: bool
    """Whether they may be read (in training too) as one row, where each token attends to its path in a tree."""
    padding: bool
    """Whether generation may pad the rows of its cache on the left to one length."""
    attention: Literal["sdpa", "eager"]
    """transformers' implementation that computes the model's attention whole."""
    why: str
    """Why there may be no tree; empty where there may be one."""


def allowed_of(name: str, folder: Path) -> LayerSupport:
    """How a language model may be computed, before it is loaded.

    Args:
        name: The model's name in the recipe.
        folder: The folder of its files.

    Raises:
        ModelError: Every way would compute it wrongly; the message names the layers at fault.
    """
    return allowed(model_config(folder), name)


def model_config(folder: Path) -> Any:
    """A model's configuration, as transformers reads it.

    Raises:
        ModelError: It cannot be read, or the installed transformers lacks the type of model.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise ModelError(
            f"{folder / 'config.json'} is of no model that the installed transformers can run: "
            f"{' '.join(str(error).split())[:300]}; get the model anew, or take another"
        ) from None


def allowed(config: Any, name: str = "this model") -> LayerSupport:
    """How a language model of this configuration may be computed.

    Raises:
        ModelError: As for `allowed_of`.
    """
    text = config.get_text_config()
    kinds = {*(getattr(text, "layer_types", None) or ())}
    _refuse_others(config, text, kinds, name)
    windows = "sliding_attention" in kinds or (not kinds and getattr(text, "sliding_window", None) is not None)
    states = sorted(kinds & STATES)
    capped = _is_capped(text)
    why = ""
    if states:
        why = f"layers of the kind {', '.join(states)} pass a state from token to token"
    elif capped:
        why = "its attention's logits are capped"
    return LayerSupport(
        tree=not why,
        # A window counts padding as if it were text, and a state absorbs it.
        padding=not states and not windows,
        # Scaled dot product attention has no cap, and transformers silently omits it there.
        attention="eager" if capped else "sdpa",
        why=why,
    )


def head_options(name: str, folder: Path) -> dict[str, Any]:
    """Options to load a model with a classifier's head, so that its attention is computed whole.

    Pairs are read whole and padded on the right, which all layers allow.

    Raises:
        ModelError: transformers has no classifier of this type of model.
    """
    config = model_config(folder)
    if MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None) is None:
        raise ModelError(
            f"{name} ({config.model_type}) cannot be a head: transformers has no classifier of this type; use "
            "another model"
        )
    return {"attn_implementation": "eager"} if _is_capped(config.get_text_config()) else {}


def changes_rope(config: Any, tokens: int) -> bool:
    """Whether a text of `tokens` tokens changes the rotary frequencies, its own and those of all texts read with it.

    This depends on the kind of rotary positions and on the length of the model's original context.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") not in CHANGING_ROPE:
        return False
    return tokens > int(rope.get("original_max_position_embeddings") or text.max_position_embeddings)


def refuse_read_otherwise(config: Any, tokens: int) -> None:
    """Refuse to train on a text so long that it changes the rotary frequencies of all texts in its batch.

    Raises:
        TrainingError: The text is too long; the message says how long texts may be.
    """
    if changes_rope(config, tokens):
        text = config.get_text_config()
        most = text.rope_parameters.get("original_max_position_embeddings") or text.max_position_embeddings
        raise TrainingError(
            f"a text to train on may have {tokens} tokens, and beyond {most} this model changes the positions of all "
            f"texts in its batch ({text.rope_parameters['rope_type']} rotary positions); lower max_document_tokens so "
            "that texts have fewer, or train another model"
        )


def _is_capped(text: Any) -> bool:
    return getattr(text, "attn_logit_softcapping", None) is not None


def _refuse_others(config: Any, text: Any, kinds: set[str], name: str) -> None:
    if others := sorted(kinds - _ATTENTION - STATES):
        raise ModelError(
            f"{name} has layers of the kind {', '.join(others)} (config.layer_types), and interank computes "
            f"{', '.join(sorted(_ATTENTION | STATES))}; use another model"
        )
    if kinds and not kinds & _ATTENTION:
        raise ModelError(
            f"{name} has no layer of attention ({', '.join(sorted(kinds))} alone), and interank cannot generate text "
            "without one; use another model"
        )
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if not kinds and getattr(model_class, "_is_stateful", False):
        raise ModelError(
            f"{name} ({config.model_type}) passes a state from token to token, and its configuration does not say in "
            "which layers; use a model whose config.layer_types lists them"
        )
    if getattr(text, "use_bidirectional_attention", None) in (True, "all"):
        raise ModelError(
            f"{name} attends to later tokens (use_bidirectional_attention), so it cannot generate text; use a causal "
            "language model"
        )
