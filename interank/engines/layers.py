"""What a model's layers allow, told from its configuration before anything is loaded; training and ranking ask here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig

from interank.errors import ModelError, TrainingError

# What transformers calls layers whose tokens look at keys and values, all of them or those in a window.
_ATTENTION = frozenset({"full_attention", "sliding_attention"})
STATES = frozenset({"linear_attention", "conv"})
"""Layers whose tokens take up a state from the token before, as transformers calls them."""
CHANGING_ROPE = frozenset({"dynamic", "longrope"})
"""Kinds of rotary positions whose frequencies change where a text is longer than the model was first trained on."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """How texts that begin alike may be computed together."""

    tree: bool
    """Read, in training too, as one row in which a token's attention finds its own path. Else beside each other."""
    padding: bool
    """Written in rows of a cache that are padded on the left to one length. Else without padding before a token."""
    attention: Literal["sdpa", "eager"]
    """The one of transformers' forms of attention that computes it all."""
    why: str
    """What stands in the way of a tree, in words; empty where there may be one."""


def allowed_of(name: str, folder: Path) -> Allowed:
    """What a language model allows, before it is loaded.

    Args:
        name: What the recipe calls it.
        folder: Its files.

    Raises:
        ModelError: It would be computed wrongly in every way; names what it has.
    """
    return allowed(model_config(folder), name)


def model_config(folder: Path) -> Any:
    """A model's configuration, as transformers reads it.

    Raises:
        ModelError: It cannot be read, or is that of a kind that the installed transformers does not have.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise ModelError(
            f"{folder / 'config.json'} is of no model that the installed transformers can run: "
            f"{' '.join(str(error).split())[:300]}; get the model anew, or take another"
        ) from None


def allowed(config: Any, name: str = "this model") -> Allowed:
    """What a language model of this configuration allows.

    Raises:
        ModelError: As of `allowed_of`.
    """
    text = config.get_text_config()
    kinds = {*(getattr(text, "layer_types", None) or ())}
    _refuse_others(config, text, kinds, name)
    windows = "sliding_attention" in kinds or (not kinds and getattr(text, "sliding_window", None) is not None)
    states = sorted(kinds & STATES)
    capped = _is_capped(text)
    why = ""
    if states:
        why = f"layers of the kind {', '.join(states)} take up a state from the token before"
    elif capped:
        why = "its attention's logits are capped"
    return Allowed(
        tree=not why,
        # A window counts padding as if it were text, and a state takes it up.
        padding=not states and not windows,
        # Scaled dot product attention knows no cap, and transformers leaves it out there without a word.
        attention="eager" if capped else "sdpa",
        why=why,
    )


def head_options(name: str, folder: Path) -> dict[str, Any]:
    """With what a model with a head in place of the vocabulary is loaded, so that its attention is computed whole.

    Pairs are read whole, padded on the right, which any layers allow.

    Raises:
        ModelError: transformers has no such model of this kind.
    """
    config = model_config(folder)
    if MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None) is None:
        raise ModelError(
            f"{name} ({config.model_type}) cannot be a head: transformers has none of its kind; use another model"
        )
    return {"attn_implementation": "eager"} if _is_capped(config.get_text_config()) else {}


def is_read_otherwise(config: Any, tokens: int) -> bool:
    """Whether positions are read otherwise in a text of so many tokens, and in all that is read with it.

    A model tells it by its kind of rotary positions and the length that it was first trained on.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") not in CHANGING_ROPE:
        return False
    return tokens > int(rope.get("original_max_position_embeddings") or text.max_position_embeddings)


def refuse_read_otherwise(config: Any, tokens: int) -> None:
    """Refuse to train with a text in which positions are read otherwise, which would change those beside it.

    Raises:
        TrainingError: Says how long texts may be.
    """
    if is_read_otherwise(config, tokens):
        text = config.get_text_config()
        most = text.rope_parameters.get("original_max_position_embeddings") or text.max_position_embeddings
        raise TrainingError(
            f"a text to train on may have {tokens} tokens, and beyond {most} this model reads the positions of "
            f"all texts beside it otherwise ({text.rope_parameters['rope_type']} rotary positions); lower "
            "max_document_tokens so that they have fewer, or train another model"
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
            f"{name} has no layer of attention ({', '.join(sorted(kinds))} alone), which interank does not know how "
            "to write with; use another model"
        )
    made = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if not kinds and getattr(made, "_is_stateful", False):
        raise ModelError(
            f"{name} ({config.model_type}) hands a state from token to token, and its configuration does not say in "
            "which layers; use a model whose config.layer_types tell"
        )
    if getattr(text, "use_bidirectional_attention", None) in (True, "all"):
        raise ModelError(
            f"{name} looks at tokens that come later (use_bidirectional_attention), so it can write nothing; use a "
            "language model"
        )
