"""The reference policy: the adapter from which a training starts, kept on the model beside the trained one."""

from __future__ import annotations

from contextlib import AbstractContextManager

from peft import PeftModel
from trl.trainer.utils import use_adapter

REFERENCE = "ref"
"""TRL's name for the adapter from which a training starts."""


def by_adapter(model: PeftModel, name: str | None) -> AbstractContextManager[None]:
    """A context in which the adapter of this name (None: no adapter) is active; the one before is active after it."""
    context: AbstractContextManager[None] = use_adapter(model, name)
    return context


def by_reference(model: PeftModel) -> AbstractContextManager[None]:
    """A context in which the model is the reference policy: the start's adapter where one is kept, else the base."""
    return by_adapter(model, REFERENCE if REFERENCE in model.peft_config else None)


def keep_reference(model: PeftModel) -> None:
    """Copy the present adapter as the reference, as TRL does where `beta` is not 0, unless there is one already."""
    if REFERENCE in model.peft_config:
        return
    model.add_adapter(REFERENCE, model.peft_config["default"])
    for name, weight in list(model.named_parameters()):
        if ".default." in name:
            model.get_parameter(name.replace(".default.", f".{REFERENCE}.")).data.copy_(weight.data)
