"""The models that rewards name: outputs of `interank reward` and whole models, checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.engines.folders import model_folder
from interank.errors import ModelError
from interank.inputs import Input, classifier
from interank.resources import expanded
from interank.rewards import Reward
from interank.settings import RewardRecipe
from interank.wording import nearest

if TYPE_CHECKING:
    from interank.engines.models import ModelFiles


def reward_models(rewards: Sequence[Reward]) -> dict[str, Path]:
    """The outputs of `interank reward` by the names that the rewards give them; whole models are left out."""
    places = {str(reward.params.get("model")): reward_model(reward.params) for reward in rewards}
    return {name: place for name, place in places.items() if place is not None}


def reward_model(params: Mapping[str, Any]) -> Path | None:
    """The output of `interank reward` that a reward's `model` names; None for a whole model."""
    given = params.get("model")
    place = expanded(given) if isinstance(given, str) else None
    return place if place is not None and (place / MANIFEST).is_file() else None


def with_reward_models(
    model: Any, rewards: Sequence[Reward], tokenizer: Any, start: Artifact, base: ModelFiles
) -> list[Reward]:
    """The rewards, with loaded reward models where they name outputs of `interank reward`; these share the base.

    Args:
        model: The loaded base with the adapter `start`.
        rewards: The rewards.
        tokenizer: The base's tokenizer.
        start: The adapter.
        base: The base's files.

    Raises:
        InputError: A reward model has another base or prompt, which checks cannot see while the base is to be fetched.
    """
    # It loads torch.
    from interank.engines.reward_adapter import RewardAdapter, require_same

    places = reward_models(rewards)
    for place in places.values():
        require_same(open_artifact(place, "reward"), start, base)
    adapters = {name: RewardAdapter(model, place, tokenizer) for name, place in places.items()}
    return [
        reward.given(model=adapters[name]) if (name := str(reward.params.get("model"))) in adapters else reward
        for reward in rewards
    ]


def named_models(
    rewards: Sequence[RewardRecipe],
    section: str,
    own: Path | None = None,
    fits: Callable[[Path], object] | None = None,
) -> list[Input]:
    """The models that rewards name.

    Args:
        rewards: The recipe's entries.
        section: The recipe's key that holds them.
        own: A path that is an output of `interank reward`, whether it exists yet or not.
        fits: Checks that an output of `interank reward` can be used.
    """
    glance = partial(open_artifact, kind="reward")
    inputs = []
    for number, entry in enumerate(rewards):
        given, name = entry.params.get("model"), f"{section}.{number}.model"
        if not entry.weight or not isinstance(given, str):
            continue
        place = expanded(given) if given == str(own) else reward_model(entry.params)
        if place is not None:
            what = "a reward model, an output of interank reward"
            inputs.append(Input(name, place, what, fits or glance, "name", glance=glance))
        elif entry.use == "explanation_quality":
            inputs.append(_whole_model(name, given))
    return inputs


def _whole_model(name: str, source: str) -> Input:
    """A reward model with weights of its own, a folder or a name on the hub."""

    def glance(_: Path) -> None:
        path = expanded(source)
        if not path.exists() and (near := nearest(path, lambda each: (each / MANIFEST).is_file())):
            raise ModelError(f"{name}: {path} does not exist; did you mean {near}?")
        model_folder(source)

    whole = classifier(name, source)

    def opened(place: Path) -> None:
        glance(place)
        whole.opened(place)

    return replace(whole, opened=opened, glance=glance)
