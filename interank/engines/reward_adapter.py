"""A trained reward model: one more adapter on a loaded base, and a separate head, which mark explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from safetensors.torch import load_file

from interank.artifact import Artifact, open_artifact
from interank.engines.adapters import beside
from interank.engines.bases import find_base, stands_on
from interank.engines.budget import budget_of
from interank.engines.heads import batches, states_at
from interank.engines.models import ModelFiles, load_model, load_tokenizer
from interank.engines.pairs import Pair, PairEncoder
from interank.engines.soundness import require_scores
from interank.engines.transformers import reading
from interank.engines.tree.probe import tree_runner
from interank.engines.tree.runner import TreeRunner
from interank.engines.use import read_head
from interank.errors import ArtifactError, InputError
from interank.settings import PromptSettings, Quantisation
from interank.settings.base import validated
from interank.types import Document, Query

HEAD = "head.safetensors"
"""The head's weights, beside the adapter: a causal model has no place for them."""
WEIGHT = "score.weight"
_NAME = "reward"


class Explanation(NamedTuple):
    """An explanation of how much a document helps to answer a question."""

    query: str
    document: str
    text: str


class RewardAdapter:
    """Marks explanations with an adapter of its own on a loaded base, which it may share with a policy's adapter.

    A call restores the active adapter, the trainable weights and every module's training mode.
    """

    def __init__(self, model: Any, place: Path, tokenizer: Any) -> None:
        """Add the adapter to those of the model; no weight of the base is loaded again.

        Args:
            model: A causal language model, with an adapter or without.
            place: An output of `interank reward` that was trained on this model as its base.
            tokenizer: The base's tokenizer.

        Raises:
            ArtifactError: The folder does not say how its head reads explanations.
            ModelError: The adapter does not fit the model.
        """
        settings = read_head(place / "adapter")
        if settings is None or settings.max_explanation_tokens is None:
            raise ArtifactError(f"{place / 'adapter'} does not say how it reads an explanation; train it anew")
        self.encoder = PairEncoder(tokenizer, settings)
        taken = {*model.peft_config} if isinstance(model, PeftModel) else set()
        self._name = next(name for name in _names() if name not in taken)
        # Undo side effects: PEFT draws random weights and makes the adapter trainable, `beside` sets evaluation mode.
        with _as_before(model), torch.random.fork_rng():
            self.model: PeftModel = beside(model, place / "adapter", self._name)
        with self._reading():
            self._runner = tree_runner(self.model)
        self._weight = load_file(place / HEAD)[WEIGHT].float().to(self.model.device)

    def __call__(self, explanations: Sequence[Explanation]) -> list[float]:
        """Each explanation's score, a logit; equal explanations and shared prefixes are read once.

        Raises:
            PromptError: A score is no finite number.
        """
        if not explanations:
            return []
        pairs = [
            self.encoder.pair(Query("", query), Document("", document), text) for query, document, text in explanations
        ]
        distinct = list({pair.ids: pair for pair in pairs}.values())
        with self._reading(), torch.inference_mode():
            texts, states = zip(*end_states(self.model, self._runner, self.encoder, distinct), strict=True)
            values: list[float] = (torch.stack(states).float() @ self._weight[0]).tolist()
        logits = dict(zip(texts, values, strict=True))
        scores = [logits[pair.ids] for pair in pairs]
        require_scores(scores)
        return scores

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Activate this adapter alone, without dropout."""
        with _as_before(self.model):
            self.model.set_adapter(self._name, inference_mode=True)
            yield


def end_states(
    model: Any, runner: TreeRunner | None, encoder: PairEncoder, pairs: Sequence[Pair]
) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """The last layer's state at the end of each different pair; shared beginnings are read once, given a runner."""
    budget = budget_of(model)
    if runner is not None:
        yield from runner.states([pair.ids for pair in pairs], budget)
        return
    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    for places in batches(pairs, encoder.settings, budget.tokens):
        own = [pairs[place] for place in places]
        read = states_at(whole.base_model, encoder.batch(own, model.device))
        yield from zip((pair.ids for pair in own), read, strict=True)


def open_reward(place: Path, base: str | None = None, *, quantisation: Quantisation = "none") -> RewardAdapter:
    """Load a reward model by itself, with its base.

    Args:
        place: An output of `interank reward`.
        base: Its base, if that was moved; see `find_base`.
        quantisation: The format of the base's weights.

    Raises:
        ArtifactError: The folder is no reward model.
        ModelError: Its base is not available, or is another one.
    """
    artifact = open_artifact(place, "reward")
    files = find_base(artifact, base)
    return RewardAdapter(load_model(files, quantisation=quantisation), artifact.path, load_tokenizer(files))


def require_same(reward: Artifact, policy: Artifact, base: ModelFiles) -> None:
    """Check that a reward model can share the base of a policy's adapter.

    Raises:
        InputError: It was trained on another base, or on explanations that answer another prompt.
    """
    if not stands_on(reward, base):
        raise InputError(
            f"{reward.path} was trained on {reward.manifest['base']} (sha256 {reward.manifest['base_digest'][:12]}), "
            f"and the policy {policy.path} stands on {base.name}, which is another base; train a reward model on the "
            f"policy's own: interank reward RECIPE student={base.name}"
        )
    theirs, ours = (str(each.manifest.get("prompt_hash")) for each in (reward, policy))
    # A fence around documents changes no explanation, so wordings with and without it count as the same.
    prompt = validated(PromptSettings, policy.manifest["prompt"], f"{policy.path}: prompt")
    here = {prompt.model_copy(update={"fence": fence}).wording for fence in (False, True)}
    if theirs != ours and not {theirs, ours} <= here:
        raise InputError(
            f"{reward.path} was trained on explanations that answer another wording of the prompt ({theirs}, the "
            f"policy's is {ours}); make judgments and the reward model anew with this version"
        )


def require_reads(reward: Artifact, tokens: int) -> None:
    """Check that a reward model reads as many tokens of an explanation as a policy may write.

    Tokens after the last one that is read would not change the reward.

    Raises:
        InputError: It reads fewer.
    """
    most = tokens_read(reward.path)
    if most is not None and tokens > most:
        raise InputError(
            f"{reward.path} reads {most} tokens of an explanation, and max_completion_tokens lets the policy write "
            f"{tokens}, so the reward would ignore the end; set max_completion_tokens to {most} or less, or "
            f"train a reward model with encoding.max_explanation_tokens={tokens}"
        )


def tokens_read(place: Path) -> int | None:
    """How many tokens of an explanation the reward model in a folder reads; None where it does not say."""
    settings = read_head(place / "adapter")
    return settings.max_explanation_tokens if settings else None


def _names() -> Iterator[str]:
    yield _NAME
    number = 2
    while True:
        yield f"{_NAME}{number}"
        number += 1


@contextmanager
def _as_before(model: Any) -> Iterator[None]:
    """Set evaluation mode; afterwards restore the modes, the active adapter and the trainable weights.

    PEFT makes any adapter trainable that it activates.
    """
    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    active = model.active_adapter if isinstance(model, PeftModel) else None
    try:
        with reading(model):
            yield
    finally:
        if active is not None:
            model.set_adapter(active)
            for weight in model.parameters():
                weight.requires_grad_(id(weight) in trained)
