"""Keys that a recipe may set and that its other choices have no use for: refused, so that none is set in vain."""

from __future__ import annotations

from collections.abc import Mapping

from interank.settings.base import Settings


def refuse_unused(recipe: Settings, unused: Mapping[str, str], *, beside: str, who: str) -> None:
    """Stop where a recipe sets a key that what it is for has no use for.

    Args:
        recipe: The recipe.
        unused: The keys, `a.b` for those of a section, each with what is there in its place.
        beside: The choice that has no use for them, as "beside `algorithm: reward_weighted`".
        who: What made the choice, as "that has".

    Raises:
        ValueError: Names all of them, and why each says nothing.
    """
    faults = []
    for name, why in unused.items():
        section, _, key = name.rpartition(".")
        holder = getattr(recipe, section) if section else recipe
        # A default says nothing: `recipe.json` spells all of them out.
        default = type(holder).model_fields[key].get_default(call_default_factory=True)
        if getattr(holder, key) != default:
            faults.append(f"{name} ({why})")
    if faults:
        raise ValueError(
            f"{beside} the recipe sets what {who} no use for: {'; '.join(faults)}; leave "
            f"{'it' if len(faults) == 1 else 'them'} out"
        )
