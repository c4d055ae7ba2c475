"""Keys that a recipe may set and that what it is for has no use for: they are refused, so that none is set in vain."""

from __future__ import annotations

from typing import Literal

from interank.settings.base import Settings

# What has no use for which keys, and what is there in their place.
_UNUSED_BY_DISTILL = {
    "prompt": "lists.prompt is what the student reads",
    "mixture": "a list is learned in one way, which lists.prompt.form names",
    "documents_per_group": "a list is a row by itself",
    "loss": "the loss is the tokens'",
    "validation": "nothing is tried while lists are learned; evaluate the adapter in mode listwise",
}
_UNUSED_BY_RL = {
    "documents_per_query": "lists.window says how many documents a list has",
    "reason_share": "the adapter's prompts say whether it reasons first",
    "grade": "an order has no grade of its own",
    "token_credit": "every token leads to the order",
    "hard_examples": "it picks pairs by the grades that the policy gives them; lists are trained whole",
    "judge": "no reward of lists asks one",
    "reward_weighted": "lists are learned by grpo",
    "validation.explained": "every list that is tried is answered whole",
    "validation.calibration_margin": "an order has no grades to be calibrated",
    "seatbelt.grade_entropy_share": "an order has no grades",
    "seatbelt.calibration_rise": "an order has no grades to be calibrated",
}
_UNUSED_BY_REWARD_WEIGHT = {
    "documents_per_query": "every pair is sampled",
    "grade": "every token of an answer is learned alike",
    "token_credit": "every token of an answer is learned alike",
    "hard_examples": "every pair is sampled",
    "refills": "answers are sampled once",
    "validation": "nothing is tried; interank evaluate compares the adapter with the one before",
    "seatbelt": "nothing is tried, so nothing is stopped",
    "control": "the judged grades are not what is learned",
    "shared_prefix": "answers are learned one by one",
    "rollouts.importance_clip": "every answer has the weight of its reward",
    "rollouts.check_every": "the policy does not move between sampling and learning",
    "rollouts.tolerance": "the policy does not move between sampling and learning",
}
_UNUSED = {
    "distill lists": ("beside `lists`", "lists have", _UNUSED_BY_DISTILL),
    "rl lists": ("beside `lists`", "lists have", _UNUSED_BY_RL),
    "reward_weighted": ("beside `algorithm: reward_weighted`", "that has", _UNUSED_BY_REWARD_WEIGHT),
}


def refuse_unused(recipe: Settings, by: Literal["distill lists", "rl lists", "reward_weighted"]) -> None:
    """Stop where a recipe sets a key that what it is for has no use for.

    Raises:
        ValueError: Names all of them, and why each says nothing.
    """
    beside, who, unused = _UNUSED[by]
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
