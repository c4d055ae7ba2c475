"""The adapter from which a training starts, kept beside the trained one, and reading by one adapter of several."""

from __future__ import annotations

from contextlib import AbstractContextManager

from peft import PeftModel
from trl.trainer.utils import use_adapter

REFERENCE = "ref"
"""TRL's name for the adapter from which a training starts."""


def by_adapter(model: PeftModel, name: str | None) -> AbstractContextManager[None]:
    """Inside it the adapter of this name is active, or none; afterwards the one that was."""
    within: AbstractContextManager[None] = use_adapter(model, name)
    return within


def by_reference(model: PeftModel) -> AbstractContextManager[None]:
    """Inside it the model is what TRL holds the policy to: the start's adapter where one is kept, else the base."""
    return by_adapter(model, REFERENCE if REFERENCE in model.peft_config else None)


def keep_reference(model: PeftModel) -> None:
    """Keep the present adapter beside the trained one, as TRL does where `beta` asks for it; does nothing if it is."""
    if REFERENCE in model.peft_config:
        return
    model.add_adapter(REFERENCE, model.peft_config["default"])
    for name, weight in list(model.named_parameters()):
        if ".default." in name:
            model.get_parameter(name.replace(".default.", f".{REFERENCE}.")).data.copy_(weight.data)
