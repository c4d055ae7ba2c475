"""Refusal of keys that a recipe sets although another of its choices makes them ineffective."""

from __future__ import annotations

from collections.abc import Mapping

from interank.settings.base import Settings


def refuse_unused(recipe: Settings, unused: Mapping[str, str], *, beside: str, who: str) -> None:
    """Refuse a recipe that sets keys without effect.

    Args:
        recipe: The recipe.
        unused: The keys, `a.b` for those of a section, each with the reason.
        beside: The choice that makes them ineffective, as "beside `algorithm: reward_weighted`".
        who: Subject and verb for "no use for", as "that has".

    Raises:
        ValueError: A key is set; the message names all of them with their reasons.
    """
    faults = []
    for name, reason in unused.items():
        section, _, key = name.rpartition(".")
        holder = getattr(recipe, section) if section else recipe
        # A default is no choice: `recipe.json` spells all of them out.
        default = type(holder).model_fields[key].get_default(call_default_factory=True)
        if getattr(holder, key) != default:
            faults.append(f"{name} ({reason})")
    if faults:
        raise ValueError(
            f"{beside} the recipe sets what {who} no use for: {'; '.join(faults)}; leave "
            f"{'it' if len(faults) == 1 else 'them'} out"
        )
