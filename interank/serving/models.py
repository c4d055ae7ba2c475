"""The models that a server has: opened once, each request given a reranker of its own on what they share."""

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
from interank.serving.options import Options
from interank.serving.requests import CHARACTERS_PER_TOKEN, Refusal
from interank.serving.schedule import Scheduler, Size
from interank.settings import AdaptiveRecipe, ListPromptSettings, ListwiseRecipe
from interank.tasks import TASK_MODES
from interank.tasks.head.ranker import HeadRanker
from interank.tasks.ranker_settings import LoadedModel, RankerSettings
from interank.tasks.ranks import OneModel, Ranking, Scores, UngradedRanker
from interank.types import Document, Query, RankedDocument

Kind = Literal["grade", "head", "rank"]
"""What a score is: of grades, a head's or another reranker's own, or a place in an order."""
# Of a document, where a reranker does not tell what it reads.
_UNKNOWN_LENGTH = 4096


@dataclass(frozen=True)
class Facts:
    """What is told of a model."""

    name: str
    root: str
    parent: str | None
    """The base of an adapter."""
    modes: tuple[Mode, ...]
    mode: Mode
    """Where a request says none."""
    can_explain: bool = False
    guards: tuple[Guard, ...] = ("none",)
    most_tokens: int = 256
    """Of an explanation."""
    taken_up: int | None = None
    """How many documents mode `adaptive` explains at the most; None is all."""
    fits: Mapping[str, Fit] = field(default_factory=dict)
    """By the mode that they are of."""
    removable: bool = False


class ServedModel(Protocol):
    """A model that requests may name."""

    facts: Facts

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def longest(self) -> int:
        """Tokens of a document that it reads at the most."""
        ...

    def kind(self, mode: Mode) -> Kind:
        """What its scores are in a mode."""
        ...

    def ranks(self, options: Options, ticket: Ticket, most_tokens: int | None = None) -> FittedReranker:
        """A reranker for one request, in the mode and with the guard that it asks for.

        `most_tokens` is what a document is cut to, where that is less than the model's own limit.

        Raises:
            Refusal: The model has not what is asked for.
        """
        ...


def mode_of(facts: Facts, options: Options) -> Mode:
    """The mode of a request.

    Raises:
        Refusal: The model has not what is asked for.
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
            "invalid", f"found explain {options.explained}; {facts.name} explains nothing; set it to 0", field="explain"
        )
    budgets = options.budget_tokens is not None or options.budget_seconds is not None
    if budgets and mode != "adaptive":
        raise Refusal("invalid", f"a budget belongs to mode adaptive, and the mode is {mode}", field="budget_tokens")
    return mode


def explained_of(facts: Facts, mode: Mode, options: Options, documents: int) -> int:
    """How many of so many documents are explained, at the most: while they are ranked, or afterwards."""
    if mode == "reason":
        return documents
    if mode == "adaptive":
        return documents if facts.taken_up is None else min(facts.taken_up, documents)
    return min(documents, explained_by_default(mode) if options.explained is None else options.explained)


def fits_of(source: str) -> dict[str, Fit]:
    """The fits that a model's folder stores, by mode, as far as they leave its own order as it is."""
    found = {mode: stored_fit(source, mode) for mode in stored_modes(source)}
    return {mode: fit for mode, fit in found.items() if fit is not None}


def _finished(ranks: OneModel, facts: Facts, mode: Mode, options: Options) -> FittedReranker:
    fit = None if options.fit is False else facts.fits.get("score" if mode == "explain" else mode)
    return FittedReranker(ranks, fit, stored=True)


def _shorter(encoder: PromptEncoder, most_tokens: int | None) -> PromptEncoder:
    """An encoder of the request's own, which keeps its query, and cuts documents earlier if asked to."""
    settings = encoder.settings
    if most_tokens is None or most_tokens >= settings.max_document_tokens:
        return copy.copy(encoder)
    return PromptEncoder(encoder.tokenizer, settings.model_copy(update={"max_document_tokens": most_tokens}))


class ServedLanguageModel:
    """A judge, a model of lists, or one that was trained on neither."""

    def __init__(
        self, facts: Facts, loaded: LoadedModel, scheduler: Scheduler | None, settings: RankerSettings
    ) -> None:
        """Take what is loaded; without a scheduler servers run it. `settings` are those of the server."""
        self.facts = facts
        self._loaded = loaded
        self._scheduler = scheduler
        self._settings = settings

    @property
    def engine(self) -> Engine:
        """What runs it."""
        return self._loaded.engine

    @property
    def encoder(self) -> PromptEncoder:
        """What makes its prompts."""
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
        asked = replace(
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
            return _finished(open_unfitted(asked), self.facts, mode, options)
        except InputError as error:
            raise Refusal("invalid", str(error)) from error

    def _adaptive(self, options: Options) -> AdaptiveRecipe:
        given = self._settings.adaptive or AdaptiveRecipe()
        budget = {"tokens": options.budget_tokens, "seconds": options.budget_seconds}
        return given.model_copy(update={name: value for name, value in budget.items() if value is not None})


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
    """A document, and the query that it is for."""

    query: Query
    document: Document


@dataclass(frozen=True)
class _Documents:
    """A whole reranker's scores of documents, as a lane of the scheduler."""

    ranks: Scores

    def size(self, item: _Pair) -> Size:
        """See `Lane`."""
        query, document = item
        return Size(None, 0, 1 + (len(query.text) + len(document.full_text)) // CHARACTERS_PER_TOKEN)

    def compute(self, items: Sequence[_Pair]) -> list[RankedDocument]:
        """See `Lane`."""
        found: list[RankedDocument] = []
        begin = 0
        while begin < len(items):
            query, end = items[begin][0], begin
            while end < len(items) and items[end][0] is query:
                end += 1
            found += self.ranks.scored(query, [document for _, document in items[begin:end]])
            begin = end
        return found


class _SharedWhole(UngradedRanker, Scores):
    """One request's way to a reranker that computes by itself."""

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
    """An export, or a released reranker that answers yes or no."""

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
    """What is told of a model that grades; with `lists` it orders windows too."""
    taught = explains(modes)
    can = ["score", *(["explain", "reason", "adaptive"] if taught else []), *(["listwise"] if lists else [])]
    own = tuple(mode for mode in (*TASK_MODES["judge"], *TASK_MODES["order"]) if mode in can)
    return Facts(
        name,
        source.name,
        source.files.name if source.adapter else None,
        own,
        settings.mode,
        taught,
        GUARDS,
        settings.max_reasoning_tokens,
        (settings.adaptive or AdaptiveRecipe()).band,
        fits_of(source.name),
    )


def order_facts(name: str, source: Any, settings: RankerSettings) -> Facts:
    """What is told of a model that was trained on lists."""
    parent = source.files.name if source.adapter else None
    return Facts(name, source.name, parent, TASK_MODES["order"], "listwise", most_tokens=settings.max_reasoning_tokens)


def lists_of(settings: RankerSettings, prompt: ListPromptSettings | None) -> RankerSettings:
    """The settings with the prompts of windows that a model reads."""
    lists = settings.lists or ListwiseRecipe()
    return replace(settings, lists=lists.model_copy(update={"prompt": lists.prompt or prompt}))
