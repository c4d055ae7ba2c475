"""PEFT adapters: put on their base and held against it weight by weight, and folded into it."""

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
# Kinds whose scores, apart from the base and folded into it, tests hold to PEFT's own forward pass.
_KINDS = ("LORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "HRA", "VERA", "FOURIERFT", "LN_TUNING", "TRAINABLE_TOKENS")
# What LoRA's configuration may ask for that no test holds.
_UNTRIED = (
    *("alora_invocation_tokens", "arrow_config", "kasa_config", "megatron_config"),
    *("monteclora_config", "use_bdlora", "use_qalora", "velora_config"),
)


def with_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """The model with the adapter saved in `folder`, to use it or to train it further.

    Raises:
        ModelError: The adapter is of a kind that is not known to rank right, its weights are no safetensors, one of
            them finds no place on this base, or a place gets none.
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
    """Hold an adapter against its base for an engine that loads both itself; no weight of the base is read.

    Raises:
        ModelError: As `with_adapter` has it.
    """
    config = model_config(files.folder)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    shape.config.name_or_path = files.name
    with_adapter(shape, folder)


def beside(model: PreTrainedModel | PeftModel, folder: Path, name: str) -> PeftModel:
    """The model with one adapter more, under a name by which `set_adapter` chooses it.

    Raises:
        ModelError: As `with_adapter` has it, or the adapter changes weights of the base, which the others stand on.
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
    shared = {*model.state_dict()} & {*weight_names(folder / ADAPTER_WEIGHTS)}
    if shared:
        raise ModelError(
            f"the adapter {folder} holds weights of the base ({sorted(shared)[0]}), so no other can stand beside it; "
            "open it alone"
        )
    _fill(model, folder, name)
    return model.eval()


def remove(model: PeftModel, name: str) -> None:
    """Let go of one adapter of several."""
    others = [other for other in model.peft_config if other != name]
    if others:
        # PEFT warns where the one that it lets go of is chosen.
        model.set_adapter(others[0])
    model.delete_adapter(name)


def merged(model: PeftModel) -> Any:
    """The adapted model to be used: in float32 with the adapter folded into its base, which is about a third faster.

    Only in float32 is the sum of both as exact as computing them apart; in other types they stay apart, and so does
    what cannot be folded.
    """
    if all(weight.dtype == torch.float32 for weight in model.parameters()) and not unfoldable(model):
        return folded(model)
    return model


def folded(model: PeftModel, *, safe: bool = False) -> Any:
    """The base with the adapter in it, which changes the model that is given.

    Where the adapter changes weights that others share, as the embeddings of a model whose head is tied to them, each
    gets its own first.

    Args:
        model: The base with its adapter, in floating point.
        safe: Whether to refuse sums that are not finite.

    Raises:
        ModelError: The adapter cannot be folded.
    """
    if reason := unfoldable(model):
        raise ModelError(f"the adapter cannot be folded into its base: {reason}; use it apart from it")
    _untie(model)
    try:
        with _quiet():
            return model.merge_and_unload(safe_merge=safe)
    except ValueError as error:
        raise ModelError(f"the adapter cannot be folded into its base: {error}; use it apart from it") from None


def unfoldable(model: PeftModel) -> str:
    """Why the adapter has to stay apart from its base; empty if it need not."""
    for layer in _adapted(model):
        biased = any(getattr(layer, "lora_bias", {}).values())
        if biased and getattr(layer.get_base_layer(), "bias", None) is None:
            return "its bias (lora_bias) has no place in layers that have none"
    config = model.peft_config[model.active_adapter]
    if config.peft_type == "LN_TUNING" and getattr(config, "modules_to_save", None):
        return "PEFT folds no whole layers (modules_to_save) of the kind LN_TUNING"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PEFT's warnings of layers that are tied or have no bias, which are seen to here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        yield


def _adapted(model: PeftModel) -> list[BaseTunerLayer]:
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _untie(model: PeftModel) -> None:
    """Give each module its own copy of a weight that an adapted one shares."""
    adapted = {id(layer.get_base_layer()) for layer in _adapted(model)}
    users: dict[int, list[tuple[torch.nn.Module, str]]] = defaultdict(list)
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            users[id(weight)].append((module, name))
    shared = [found for found in users.values() if len(found) > 1]
    touched = [found for found in shared if adapted & {id(module) for module, _ in found}]
    if not touched:
        return
    whole = model.get_base_model()
    ends = {id(whole.get_input_embeddings()), id(whole.get_output_embeddings())}
    for found in shared:
        if found not in touched and {id(module) for module, _ in found} <= ends:
            continue
        for module, name in found[1:]:
            weight = getattr(module, name)
            setattr(module, name, torch.nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad))
        if {id(module) for module, _ in found} & ends:
            whole.config.tie_word_embeddings = False


def _config(folder: Path) -> PeftConfig:
    """The adapter's configuration, of a kind that is known to rank right."""
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
    """Put the adapter's weights in their places.

    Raises:
        ModelError: One finds no place, or a place gets none.
    """
    weight_names(folder / ADAPTER_WEIGHTS)
    base = str(getattr(model.config, "name_or_path", "")) or base_of(folder)
    only_a_shape = model.device.type == "meta"
    weights = load_peft_weights(str(folder), device="cpu" if only_a_shape else str(model.device))
    if only_a_shape:
        weights = {key: weight.to("meta") for key, weight in weights.items()}
    try:
        told = set_peft_model_state_dict(model, weights, adapter_name=name)
    except KeyError as error:
        # A layer that was trained whole is not in the file.
        raise misfit(folder, base, [], [str(error.args[0])]) from None
    except RuntimeError as error:
        raise _unfit(folder, model, error) from None
    places = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    lacking = {*told.missing_keys}
    # What several modules share is named once in the file.
    filled = {id(place) for key, place in places.items() if key not in lacking}
    missing = [
        key
        for key in told.missing_keys
        if (name in key.split(".") or _is_trained_bias(model, name, key)) and id(places[key]) not in filled
    ]
    if told.unexpected_keys or missing:
        raise misfit(folder, base, told.unexpected_keys, missing)


def _is_trained_bias(model: PeftModel, name: str, key: str) -> bool:
    """Whether the weight is a bias of the base that is saved with the adapter."""
    which = getattr(model.peft_config[name], "bias", "none")
    return key.endswith(".bias") and (which == "all" or (which != "none" and ".base_layer." in key))


def _unfit(folder: Path, model: Any, error: Exception) -> ModelError:
    told = " ".join(str(error).split())[:300]
    base = getattr(model.config, "name_or_path", "") or type(model).__name__
    return ModelError(f"the adapter {folder} does not go on {base}: {told}; give the base that it was trained on")
