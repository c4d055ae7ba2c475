"""A server's models, each opened once; every request gets its own reranker on the shared model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, cast

from interank.engines.head_engine import HeadEngine
from interank.engines.pairs import PairEncoder
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine
from interank.errors import InputError
from interank.modes import GUARDS, Guard, Mode, explained_by_default, explains
from interank.reranking.fitted_reranker import FittedReranker
from interank.reranking.fitting import Fit, stored_fit, stored_modes
from interank.reranking.opening import open_unfitted
from interank.serving.backlog import Ticket
from interank.serving.engines import SharedHead, shared
from interank.serving.operations import Size
from interank.serving.options import Options
from interank.serving.requests import CHARACTERS_PER_TOKEN, Refusal
from interank.serving.schedule import Scheduler
from interank.settings import AdaptiveRecipe, ListPromptSettings, ListwiseRecipe
from interank.tasks import TASK_MODES
from interank.tasks.head.ranker import HeadRanker
from interank.tasks.ranker_settings import LoadedModel, RankerSettings
from interank.tasks.ranks import OneModel, Ranking, Scores, UngradedRanker
from interank.types import Document, Query, RankedDocument

Kind = Literal["grade", "head", "rank"]
"""The kind of a score: from grades, a logit of a head or another reranker, or a position in a ranking."""
# The assumed token limit for a document, for rerankers that do not state theirs.
_UNKNOWN_LENGTH = 4096


@dataclass(frozen=True)
class Facts:
    """A model's properties."""

    name: str
    root: str
    """The model's source."""
    parent: str | None
    """An adapter's base model."""
    modes: tuple[Mode, ...]
    mode: Mode
    """The default mode."""
    can_explain: bool = False
    guards: tuple[Guard, ...] = ("none",)
    most_tokens: int = 256
    """The largest number of tokens of an explanation."""
    most_explained: int | None = None
    """The largest number of documents that mode `adaptive` explains; None is all."""
    fits: Mapping[str, Fit] = field(default_factory=dict)
    """The stored fits by mode."""
    removable: bool = False
    """True if it was loaded at run time."""


class ServedModel(Protocol):
    """A model that requests may name."""

    facts: Facts

    @property
    def device(self) -> str:
        """The device that the model runs on."""
        ...

    @property
    def longest(self) -> int:
        """The token limit for a document."""
        ...

    def kind(self, mode: Mode) -> Kind:
        """The kind of the model's scores in a mode."""
        ...

    def ranks(self, options: Options, ticket: Ticket, most_tokens: int | None = None) -> FittedReranker:
        """A reranker for one request, in its mode and with its guard.

        Documents are cut to `most_tokens` if that is less than the model's own limit.

        Raises:
            Refusal: The model lacks the requested mode, guard or explanations.
        """
        ...


def mode_of(facts: Facts, options: Options) -> Mode:
    """The mode of a request.

    Raises:
        Refusal: The model lacks the requested mode, guard or explanations, or the mode takes no budget.
    """
    mode = options.mode or facts.mode
    if mode not in facts.modes:
        raise Refusal("invalid", f"found mode {mode}; {facts.name} has {', '.join(facts.modes)}", field="mode")
    if (options.guard or "none") not in facts.guards:
        raise Refusal(
            "invalid", f"found guard {options.guard}; {facts.name} has {', '.join(facts.guards)}", field="guard"
        )
    if options.explained and not facts.can_explain:
        raise Refusal(
            "invalid",
            f"found explain {options.explained}, and {facts.name} cannot explain; set explain to 0",
            field="explain",
        )
    if options.explained and mode in ("listwise", "adaptive"):
        message = f"found explain with mode {mode}, which does not take it; leave it out"
        raise Refusal("invalid", message, field="explain")
    budgets = options.budget_tokens is not None or options.budget_seconds is not None
    if budgets and mode != "adaptive":
        raise Refusal(
            "invalid",
            f"found a budget with mode {mode}, and only mode adaptive takes one; leave one of them out",
            field="budget_tokens",
        )
    return mode


def explained_of(facts: Facts, mode: Mode, options: Options, documents: int) -> int:
    """The largest number of documents that are explained, while ranking or afterwards."""
    if mode == "reason":
        return documents
    if mode == "adaptive":
        return documents if facts.most_explained is None else min(facts.most_explained, documents)
    return min(documents, explained_by_default(mode) if options.explained is None else options.explained)


def fits_of(source: str) -> dict[str, Fit]:
    """The fits in a model's folder by mode, without their fusions."""
    fits = {mode: stored_fit(source, mode) for mode in stored_modes(source)}
    return {mode: fit for mode, fit in fits.items() if fit is not None}


def _finished(ranks: OneModel, facts: Facts, mode: Mode, options: Options) -> FittedReranker:
    fit = None if options.fit is False else facts.fits.get("score" if mode == "explain" else mode)
    return FittedReranker(ranks, fit, stored=True)


def _shorter(encoder: PromptEncoder, most_tokens: int | None) -> PromptEncoder:
    """An encoder for one request, since it caches the query; it may cut documents earlier."""
    settings = encoder.settings
    if most_tokens is None or most_tokens >= settings.max_document_tokens:
        return copy.copy(encoder)
    return PromptEncoder(encoder.tokenizer, settings.model_copy(update={"max_document_tokens": most_tokens}))


class ServedLanguageModel:
    """A language model: a judge, a listwise reranker, or one that was not trained for ranking."""

    def __init__(
        self, facts: Facts, loaded: LoadedModel, scheduler: Scheduler | None, settings: RankerSettings
    ) -> None:
        """Serve a loaded model with the server's settings; without a scheduler, model servers run it."""
        self.facts = facts
        self._loaded = loaded
        self._scheduler = scheduler
        self._settings = settings

    @property
    def engine(self) -> Engine:
        """The engine that runs the model."""
        return self._loaded.engine

    @property
    def encoder(self) -> PromptEncoder:
        """The encoder of the model's prompts."""
        return self._loaded.encoder

    @property
    def device(self) -> str:
        """See `ServedModel`."""
        return str(self.engine.device)

    @property
    def longest(self) -> int:
        """See `ServedModel`."""
        return self.encoder.settings.max_document_tokens

    def kind(self, mode: Mode) -> Kind:
        """See `ServedModel`."""
        return "rank" if mode == "listwise" else "grade"

    def ranks(self, options: Options, ticket: Ticket, most_tokens: int | None = None) -> FittedReranker:
        """See `ServedModel`."""
        mode = mode_of(self.facts, options)
        engine = shared(self._loaded.engine, self._scheduler, ticket)
        loaded = LoadedModel(cast(Engine, engine), _shorter(self._loaded.encoder, most_tokens), self._loaded.modes)
        ranker_settings = replace(
            self._settings,
            model=None,
            loaded=loaded,
            mode=mode,
            guard=options.guard or "none",
            max_reasoning_tokens=min(options.max_reasoning_tokens or self.facts.most_tokens, self.facts.most_tokens),
            lists=self._settings.lists if mode == "listwise" else None,
            adaptive=self._adaptive(options) if mode == "adaptive" else None,
            engine="transformers",
            server=None,
            base=None,
            memory=None,
        )
        try:
            return _finished(open_unfitted(ranker_settings), self.facts, mode, options)
        except InputError as error:
            raise Refusal("invalid", str(error)) from error

    def _adaptive(self, options: Options) -> AdaptiveRecipe:
        settings = self._settings.adaptive or AdaptiveRecipe()
        budget = {"tokens": options.budget_tokens, "seconds": options.budget_seconds}
        return settings.model_copy(update={name: value for name, value in budget.items() if value is not None})


class ServedHead:
    """A pointwise head."""

    def __init__(self, facts: Facts, engine: HeadEngine, scheduler: Scheduler) -> None:
        self.facts = facts
        self.engine = engine
        self._scheduler = scheduler

    @property
    def device(self) -> str:
        """See `ServedModel`."""
        return str(self.engine.device)

    @property
    def longest(self) -> int:
        """See `ServedModel`."""
        return self.engine.head.settings.document_tokens

    def kind(self, mode: Mode) -> Kind:
        """See `ServedModel`."""
        return "head"

    def ranks(self, options: Options, ticket: Ticket, most_tokens: int | None = None) -> FittedReranker:
        """See `ServedModel`."""
        mode = mode_of(self.facts, options)
        head = self.engine.head
        encoder = copy.copy(head.encoder)
        if most_tokens is not None and most_tokens < head.settings.document_tokens:
            encoder = PairEncoder(
                encoder.tokenizer, head.settings.model_copy(update={"max_document_tokens": most_tokens})
            )
        engine: Any = SharedHead(self.engine, encoder, self._scheduler, ticket)
        return _finished(HeadRanker(engine), self.facts, mode, options)


class _Pair(NamedTuple):
    """A document with its query."""

    query: Query
    document: Document


@dataclass(frozen=True)
class _Documents:
    """Scores documents by a reranker that computes by itself."""

    ranks: Scores

    def size(self, item: _Pair) -> Size:
        """See `Operation`."""
        query, document = item
        return Size(None, 0, 1 + (len(query.text) + len(document.full_text)) // CHARACTERS_PER_TOKEN)

    def compute(self, items: Sequence[_Pair]) -> list[RankedDocument]:
        """See `Operation`."""
        scored: list[RankedDocument] = []
        begin = 0
        while begin < len(items):
            query, end = items[begin][0], begin
            while end < len(items) and items[end][0] is query:
                end += 1
            scored += self.ranks.scored(query, [document for _, document in items[begin:end]])
            begin = end
        return scored


class _SharedWhole(UngradedRanker, Scores):
    """One request's reranker, which shares one that computes by itself through the scheduler."""

    def __init__(self, ranks: Scores, scheduler: Scheduler, ticket: Ticket) -> None:
        self.engine = ranks.engine
        self._ranks, self._scheduler, self._ticket = ranks, scheduler, ticket

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self._ranks.follows

    def query_cut(self, query: Query) -> int:
        """See `Scores`."""
        return self._ranks.query_cut(query)

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        return self._scheduler.ask(self._ticket, _Documents(self._ranks), [_Pair(query, each) for each in documents])


class ServedWhole:
    """An exported judge, or a released reranker that answers yes or no."""

    def __init__(self, facts: Facts, ranks: Scores, scheduler: Scheduler, kind: Kind) -> None:
        self.facts = facts
        self._ranks, self._scheduler, self._kind = ranks, scheduler, kind

    @property
    def device(self) -> str:
        """See `ServedModel`."""
        return str(self._ranks.engine.device)

    @property
    def longest(self) -> int:
        """See `ServedModel`."""
        return _UNKNOWN_LENGTH

    def kind(self, mode: Mode) -> Kind:
        """See `ServedModel`."""
        return self._kind

    def ranks(self, options: Options, ticket: Ticket, most_tokens: int | None = None) -> FittedReranker:
        """See `ServedModel`."""
        mode = mode_of(self.facts, options)
        return _finished(_SharedWhole(self._ranks, self._scheduler, ticket), self.facts, mode, options)


def judge_facts(name: str, source: Any, modes: tuple[str, ...], settings: RankerSettings, *, lists: bool) -> Facts:
    """The facts of a model that grades; with `lists` it also orders windows."""
    can_explain = explains(modes)
    can = ["score", *(["explain", "reason", "adaptive"] if can_explain else []), *(["listwise"] if lists else [])]
    own = tuple(mode for mode in (*TASK_MODES["judge"], *TASK_MODES["order"]) if mode in can)
    return Facts(
        name,
        source.name,
        source.files.name if source.adapter else None,
        own,
        settings.mode,
        can_explain,
        GUARDS,
        settings.max_reasoning_tokens,
        (settings.adaptive or AdaptiveRecipe()).band,
        fits_of(source.name),
    )


def order_facts(name: str, source: Any, settings: RankerSettings) -> Facts:
    """The facts of a model that was trained on lists."""
    parent = source.files.name if source.adapter else None
    return Facts(name, source.name, parent, TASK_MODES["order"], "listwise", most_tokens=settings.max_reasoning_tokens)


def lists_of(settings: RankerSettings, prompt: ListPromptSettings | None) -> RankerSettings:
    """The settings with the window prompts that the model was trained on, unless they have their own."""
    lists = settings.lists or ListwiseRecipe()
    return replace(settings, lists=lists.model_copy(update={"prompt": lists.prompt or prompt}))
