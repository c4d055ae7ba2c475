"""Orders a query's documents by asking a model about windows; a window without a readable answer keeps its order."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from interank.engines.models import load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Conversing, Engine, Sampling
from interank.engines.soundness import require_completions
from interank.errors import ArtifactError
from interank.progress import tell_cut
from interank.settings import ListPromptSettings, ListwiseRecipe
from interank.settings.base import validated
from interank.tasks.documents import warn_unread
from interank.tasks.list_rankers import WindowRanker
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.ordering import Ordering
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import ListCounts, Ranking
from interank.tasks.sources import Source, find_source, open_engine
from interank.tasks.windows import Showing, Window, aggregated, follow, plan, showings
from interank.types import Document, Query, RankedDocument

log = logging.getLogger(__name__)

_NUMBER = re.compile(r"\[(\d{1,4})\]")


@dataclass(frozen=True, slots=True)
class DocumentOrder:
    """The order of a query's documents, as places in the candidates."""

    order: tuple[int, ...]
    cuts: tuple[int, ...]
    """For each place the most tokens that a window cut off its document's end."""
    reasoning: str
    """The reasoning about the last window, which holds the first documents; it names them by their ids."""
    counts: ListCounts

    def ranking(self, documents: Sequence[Document]) -> list[RankedDocument]:
        """An order without grades: the first of n documents scores n, the last 1."""
        explanations = [self.reasoning or None, *[None] * len(documents)]
        return [
            RankedDocument(
                documents[place].doc_id,
                float(len(documents) - rank),
                explanation=explanations[rank],
                truncated=self.cuts[place],
            )
            for rank, place in enumerate(self.order)
        ]


class Windows(WindowRanker[ListEncoder]):
    """A reranker by orders of windows."""

    kind = "mode listwise"

    def __init__(
        self, engine: Engine, encoder: ListEncoder, settings: ListwiseRecipe, *, max_reasoning_tokens: int
    ) -> None:
        super().__init__(engine, encoder, settings)
        self.max_reasoning_tokens = max_reasoning_tokens

    def warn_of(self, query: Query) -> None:
        """See `WindowRanker`."""
        if self.encoder.settings.form != "dear":
            return super().warn_of(query)
        tell_cut(query.query_id, self.query_cut(query))
        warn_unread(query, "DeAR's form of prompts")

    def ordered(self, query: Query, documents: Sequence[Document], first_stage: Sequence[float] | None) -> Ranking:
        """An order without grades; the first document has the reasoning about the last window.

        Raises:
            InputError: A window does not fit into a prompt.
        """
        with self.asking(query):
            listed = self.order(query, documents)
            self._counts += listed.counts
        return listed.ranking(documents)

    def order(self, query: Query, documents: Sequence[Document]) -> DocumentOrder:
        """Order the documents, which come in first-stage order.

        Raises:
            InputError: A window does not fit into a prompt.
        """
        run = _QueryRun(self, query, documents)
        order = follow(plan(len(documents), self.settings), run.answer)
        return DocumentOrder(tuple(order), tuple(run.cuts), run.reasoning, run.counts)

    def texts(self, query: Query, windows: Sequence[Sequence[Document]]) -> tuple[list[str], list[tuple[int, ...]]]:
        """The model's answer about each window, and the tokens cut off each of its documents."""
        room = self.max_reasoning_tokens
        prompts = [self.encoder.prompt(query, window, reasoning_tokens=room) for window in windows]
        longest = max(self.encoder.answer_tokens(len(window), room) for window in windows)
        sampling = Sampling(longest, self.settings.temperature, self.settings.seed)
        cuts = [item.cuts for item in prompts]
        if "token_ids" not in self.engine.abilities and isinstance(self.engine, Conversing):
            messages = [self.encoder.messages(query, window, reasoning_tokens=room) for window in windows]
            conversations = [[(message["role"], message["content"]) for message in one] for one in messages]
            return self.engine.converse(conversations, sampling), cuts
        completions = self.engine.generate([item.prompt for item in prompts], sampling, end=self.encoder.end)
        require_completions(completions)
        return [self.encoder.encoder.text(item.ids) for item in completions], cuts


class _QueryRun:
    """The state of one query while its windows are ranked."""

    def __init__(self, ranker: Windows, query: Query, documents: Sequence[Document]) -> None:
        self._ranker = ranker
        self._query = query
        self._documents = documents
        self.cuts = [0] * len(documents)
        self.counts = ListCounts()
        self.reasoning = ""

    def answer(self, windows: list[Window]) -> list[Window]:
        """The windows in the orders that the model gives."""
        ranker = self._ranker
        shown = showings(windows, ranker.settings, self._query.query_id)
        texts, cuts = ranker.texts(self._query, [[self._documents[p] for p in item.shown] for item in shown])
        read = [ordering.parse(text, len(item.shown)) for text, item in zip(texts, shown, strict=True)]
        for item, lost in zip(shown, cuts, strict=True):
            for place, tokens in zip(item.shown, lost, strict=True):
                self.cuts[place] = max(self.cuts[place], tokens)
        orders = [self._ordered(item, answer) for item, answer in zip(shown, read, strict=True)]
        times = ranker.settings.shuffles
        results = []
        for number, window in enumerate(windows):
            usable = [order for order in orders[number * times : (number + 1) * times] if order is not None]
            self.counts += ListCounts(unranked=not usable)
            results.append(aggregated(window, usable))
        self.reasoning = self._reasoning(shown[-times:], read[-times:])
        return results

    def _ordered(self, item: Showing, answer: Ordering | None) -> Window | None:
        if answer is None:
            self.counts += ListCounts(answers=1, unreadable=1)
            return None
        self.counts += ListCounts(answers=1, repaired=answer.repairs.total > 0, repairs=answer.repairs)
        return item.back(answer.positions, len(item.shown) - answer.repairs.missing)

    def _reasoning(self, shown: Sequence[Showing], read: Sequence[Ordering | None]) -> str:
        """The first readable answer's reasoning, with ids for numbers, which mean nothing outside the window."""
        item, answer = next(((i, a) for i, a in zip(shown, read, strict=True) if a is not None), (None, None))
        if item is None or answer is None:
            return ""

        def named(match: re.Match[str]) -> str:
            position = int(match[1]) - 1
            return f"[{self._documents[item.shown[position]].doc_id}]" if 0 <= position < len(item.shown) else match[0]

        return _NUMBER.sub(named, answer.reasoning)


def list_encoder(source: Source, asked: ListPromptSettings | None) -> ListEncoder:
    """The encoder of a model's prompts: those an artifact was trained on, those asked for, or the default ones.

    Raises:
        ArtifactError: The artifact was trained on single documents, on another wording, or on another form.
    """
    trained = source.trained_on("order")
    if trained is None:
        encoder = PromptEncoder(load_tokenizer(source.tokenizer), source.prompt())
        return ListEncoder(encoder, readable_lists(source, asked))
    own = validated(ListPromptSettings, trained, f"{source.name}: prompt")
    source.check_wording(ordering.prompt_hash(own.form, own.shown_instruction))
    if asked and asked.form != own.form:
        raise ArtifactError(f"{source.name} was trained on the form {own.form}, not {asked.form}; leave form out")
    return ListEncoder.of(load_tokenizer(source.tokenizer), asked or own)


def readable_lists(source: Source, asked: ListPromptSettings | None = None) -> ListPromptSettings:
    """The prompt settings asked for, or the default ones, shortened to the model's context."""
    settings = asked or ListPromptSettings()
    return settings.model_copy(update=source.lengths(settings.max_length, settings.max_query_tokens))


def open_ranker(settings: RankerSettings) -> Windows:
    """A model that orders windows.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model is not available, or no server answers.
    """
    lists = settings.lists or ListwiseRecipe()
    if settings.loaded:
        engine, encoder = (
            settings.loaded.engine,
            ListEncoder(settings.loaded.encoder, lists.prompt or ListPromptSettings()),
        )
    else:
        source = find_source(str(settings.model), settings.base)
        encoder = list_encoder(source, lists.prompt)
        # The prompts' length holds the room for the answer already.
        length, vocabulary = encoder.settings.max_length, encoder.encoder.vocabulary
        engine = open_engine(source, settings, vocabulary=vocabulary, length=length)
    return Windows(engine, encoder, lists, max_reasoning_tokens=settings.max_reasoning_tokens)
