"""PEFT adapters: loaded onto their base, checked against it weight by weight, and merged into it."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftConfig, PeftModel, load_peft_weights, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM, PreTrainedModel

from interank.engines.layers import model_config
from interank.engines.models import PEFT, ModelFiles, base_of, differentiable
from interank.engines.weights import misfit, read_config, refuse_pointers, weight_names
from interank.errors import ModelError

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""The only file of an adapter's weights that is read."""
_ONLY = "default"
# Kinds whose scores, unmerged and merged into the base, tests compare with PEFT's own forward pass.
_KINDS = ("LORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "HRA", "VERA", "FOURIERFT", "LN_TUNING", "TRAINABLE_TOKENS")
# Options of LoRA's configuration that no test covers.
_UNTRIED = (
    *("alora_invocation_tokens", "arrow_config", "kasa_config", "megatron_config"),
    *("monteclora_config", "use_bdlora", "use_qalora", "velora_config"),
)


def with_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """The model with the adapter saved in `folder`, to use it or to train it further.

    Raises:
        ModelError: The adapter's kind is not known to rank correctly, its weights are no safetensors, a weight has no
            parameter in this base, or a parameter no weight.
    """
    config = _config(folder)
    config.inference_mode = not trainable
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(str(config.task_type), PeftModel)
    try:
        with _quiet():
            adapted = kind(differentiable(model) if trainable else model, config, _ONLY)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        raise _unfit(folder, model, error) from None
    _fill(adapted, folder, _ONLY)
    return adapted if trainable else adapted.eval()


def check_fits(files: ModelFiles, folder: Path) -> None:
    """Check an adapter against its base for an engine that loads both itself; no weight of the base is read.

    Raises:
        ModelError: As for `with_adapter`.
    """
    config = model_config(files.folder)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    shape.config.name_or_path = files.name
    with_adapter(shape, folder)


def beside(model: PreTrainedModel | PeftModel, folder: Path, name: str) -> PeftModel:
    """The model with one more adapter, which `set_adapter` activates by its name.

    Raises:
        ModelError: As for `with_adapter`, or the adapter changes weights of the base, which other adapters share.
    """
    config = _config(folder)
    config.inference_mode = True
    try:
        with _quiet():
            if isinstance(model, PeftModel):
                model.add_adapter(name, config)
            else:
                model = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(str(config.task_type), PeftModel)(model, config, name)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        raise _unfit(folder, model, error) from None
    try:
        shared = {*model.state_dict()} & {*weight_names(folder / ADAPTER_WEIGHTS)}
        if shared:
            raise ModelError(
                f"the adapter {folder} holds weights of the base ({sorted(shared)[0]}), so no other adapter can share "
                "that base; open it alone"
            )
        _fill(model, folder, name)
    except ModelError:
        # Its layers would stay in the base.
        without(model, name)
        raise
    return model.eval()


def without(model: PeftModel, name: str) -> Any:
    """Unload one adapter; after the last this gives the base itself, since PEFT's model cannot run without any."""
    others = [other for other in model.peft_config if other != name]
    if not others:
        return model.unload()
    # PEFT warns when it deletes the active adapter.
    model.set_adapter(others[0])
    model.delete_adapter(name)
    return model


def merged(model: PeftModel) -> Any:
    """The adapted model for inference: in float32 with the adapter merged into its base, which is about a third faster.

    Only in float32 are merged weights as exact as separate ones. In other types, and where the adapter cannot be
    merged, the model stays as it is.
    """
    if all(weight.dtype == torch.float32 for weight in model.parameters()) and not unfoldable(model):
        return folded(model)
    return model


def folded(model: PeftModel, *, safe: bool = False) -> Any:
    """Merge the adapter into its base; this changes `model`.

    Modules that share a weight which the adapter changes, such as embeddings and a tied head, get their own copies
    first.

    Args:
        model: The base with its adapter, in floating point.
        safe: Whether to refuse merged weights that are not finite.

    Raises:
        ModelError: The adapter cannot be merged.
    """
    if reason := unfoldable(model):
        raise ModelError(f"the adapter cannot be merged into its base: {reason}; use it unmerged")
    _untie(model)
    try:
        with _quiet():
            return model.merge_and_unload(safe_merge=safe)
    except ValueError as error:
        raise ModelError(f"the adapter cannot be merged into its base: {error}; use it unmerged") from None


def unfoldable(model: PeftModel) -> str:
    """Why the adapter cannot be merged into its base; empty if it can."""
    for layer in _adapted(model):
        biased = any(getattr(layer, "lora_bias", {}).values())
        if biased and getattr(layer.get_base_layer(), "bias", None) is None:
            return "its bias (lora_bias) has no place in layers that have none"
    config = model.peft_config[model.active_adapter]
    if config.peft_type == "LN_TUNING" and getattr(config, "modules_to_save", None):
        return "PEFT merges no whole layers (modules_to_save) of the kind LN_TUNING"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence PEFT's warnings about tied layers and layers without a bias, both of which this module handles."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        yield


def _adapted(model: PeftModel) -> list[BaseTunerLayer]:
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _untie(model: PeftModel) -> None:
    """Give each module its own copy of a weight that it shares with an adapted module."""
    adapted = {id(layer.get_base_layer()) for layer in _adapted(model)}
    users: dict[int, list[tuple[torch.nn.Module, str]]] = defaultdict(list)
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            users[id(weight)].append((module, name))
    shared = [group for group in users.values() if len(group) > 1]
    touched = [group for group in shared if adapted & {id(module) for module, _ in group}]
    if not touched:
        return
    whole = model.get_base_model()
    ends = {id(whole.get_input_embeddings()), id(whole.get_output_embeddings())}
    for group in shared:
        if group not in touched and {id(module) for module, _ in group} <= ends:
            continue
        for module, name in group[1:]:
            weight = getattr(module, name)
            setattr(module, name, torch.nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad))
        if {id(module) for module, _ in group} & ends:
            whole.config.tie_word_embeddings = False


def _config(folder: Path) -> PeftConfig:
    """The adapter's configuration, if its kind is known to rank correctly."""
    refuse_pointers(folder)
    facts = read_config(folder / PEFT)
    kind = str(facts.get("peft_type"))
    if kind not in _KINDS:
        raise ModelError(
            f"the adapter {folder} is of the kind {kind}, which is not known to rank as it was trained; use one of the "
            f"kinds {', '.join(_KINDS)}"
        )
    if untried := [name for name in _UNTRIED if facts.get(name)]:
        raise ModelError(
            f"the adapter {folder} asks for {untried[0]}, with which it is not known to rank as it was "
            "trained; use an adapter without it"
        )
    try:
        return PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder / 'adapter_config.json'} cannot be used ({error}); get the adapter anew") from None


def _fill(model: PeftModel, folder: Path, name: str) -> None:
    """Load the adapter's weights into the model.

    Raises:
        ModelError: A weight has no parameter in the model, or a parameter no weight.
    """
    weight_names(folder / ADAPTER_WEIGHTS)
    base = str(getattr(model.config, "name_or_path", "")) or base_of(folder)
    only_a_shape = model.device.type == "meta"
    weights = load_peft_weights(str(folder), device="cpu" if only_a_shape else str(model.device))
    if only_a_shape:
        weights = {key: weight.to("meta") for key, weight in weights.items()}
    try:
        report = set_peft_model_state_dict(model, weights, adapter_name=name)
    except KeyError as error:
        # The file lacks a layer that was trained whole.
        raise misfit(folder, base, [], [str(error.args[0])]) from None
    except RuntimeError as error:
        raise _unfit(folder, model, error) from None
    places = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    lacking = {*report.missing_keys}
    # The file holds a shared weight under one name only; `report` then lists its other names as missing.
    filled = {id(place) for key, place in places.items() if key not in lacking}
    missing = [
        key
        for key in report.missing_keys
        if (name in key.split(".") or _is_trained_bias(model, name, key)) and id(places[key]) not in filled
    ]
    if report.unexpected_keys or missing:
        raise misfit(folder, base, report.unexpected_keys, missing)


def _is_trained_bias(model: PeftModel, name: str, key: str) -> bool:
    """Whether the weight is a bias of the base that is saved with the adapter."""
    which = getattr(model.peft_config[name], "bias", "none")
    return key.endswith(".bias") and (which == "all" or (which != "none" and ".base_layer." in key))


def _unfit(folder: Path, model: Any, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    base = getattr(model.config, "name_or_path", "") or type(model).__name__
    return ModelError(f"the adapter {folder} does not fit {base}: {reason}; give the base that it was trained on")
