"""Opens a reranker from its settings; every caller opens rerankers here."""

from __future__ import annotations

from interank.reranking.adaptive import Adaptive
from interank.reranking.fitted_reranker import FittedReranker, fit_of
from interank.settings import AdaptiveRecipe
from interank.tasks.order.ranker import readable_lists
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.rankers import open_by_task
from interank.tasks.ranks import OneModel
from interank.tasks.sources import find_source


def open_reranker(settings: RankerSettings) -> FittedReranker:
    """Open a reranker with its guard and its fit.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model or an adapter's base cannot be loaded, or the base is not the one that the adapter was
            trained on.
        InputError: The mode, the engine or the settings are unknown, conflict or are not available here, or a fit is
            damaged or belongs to another model.
    """
    settings.check()
    fit, stored = fit_of(settings)
    return FittedReranker(open_unfitted(settings), fit, stored=stored)


def open_unfitted(settings: RankerSettings) -> OneModel:
    """Open a reranker with its guard, without a fit.

    Raises:
        ArtifactError, ModelError, InputError: As for `open_reranker`.
    """
    ranks = open_by_task(settings)
    if settings.mode == "adaptive":
        ranks = _adaptive(ranks, settings)
    return ranks.guarded(settings.guard)


def _adaptive(ranks: OneModel, settings: RankerSettings) -> Adaptive:
    """Wrap a scoring model for mode `adaptive`."""
    adaptive = settings.adaptive or AdaptiveRecipe()
    lists = None
    if adaptive.spend == "listwise" and settings.loaded is None:
        source = find_source(str(settings.model), settings.base)
        lists = readable_lists(source) if source.manifest is None else None
    return Adaptive(ranks, adaptive, lists)
