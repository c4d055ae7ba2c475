"""Rankers of language models that others released as rerankers, each in its own form; see `engines/released_forms`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from interank.engines.models import load_tokenizer
from interank.engines.protocol import Engine
from interank.engines.ratings import RatingEncoder
from interank.engines.released_forms import ReleasedForm, released_form
from interank.engines.soundness import require_scores
from interank.engines.yes_or_no import AnswerEncoder
from interank.errors import InputError
from interank.tasks import TASK_MODES
from interank.tasks.documents import naming, warn_unread
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import Ranking, Scores, UngradedRanker
from interank.tasks.sources import find_source, open_engine
from interank.types import Document, Query, RankedDocument


class Answers(UngradedRanker, Scores):
    """A reranker by the logits of its answers, such as yes and no; its scores are no grades."""

    kind = "a reranker that answers yes or no"

    def __init__(self, engine: Engine, encoder: AnswerEncoder) -> None:
        self.engine = engine
        self.encoder = encoder
        self._lock = threading.RLock()

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self.encoder.form.instructed

    def query_cut(self, query: Query) -> int:
        """See `Scores`; 0, since the released code does not count it."""
        return 0

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        if not self.follows:
            warn_unread(query, f"a {self.encoder.form.name}")
        prompts = [self.encoder.prompt(query, document) for document in documents]
        with self._lock, naming(query, documents):
            labels = self.engine.label_logits(prompts, self.encoder.labels)
            scores = [label.logits[0] - sum(label.logits[1:]) for label in labels]
            require_scores(scores)
        return [
            RankedDocument(document.doc_id, score, truncated=prompt.cut)
            for document, prompt, score in zip(documents, prompts, scores, strict=True)
        ]


class Ratings(UngradedRanker, Scores):
    """A reranker by the number that it writes after its reasoning, which mode `reason` keeps."""

    kind = "a reranker that reasons and writes a number"

    def __init__(self, engine: Engine, encoder: RatingEncoder, *, explaining: bool) -> None:
        """Take a model; where `explaining`, its reasoning about a document becomes the explanation."""
        self.engine = engine
        self.encoder = encoder
        self._explaining = explaining
        self._lock = threading.RLock()

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return True

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return self._explaining

    def explains(self, count: int | None) -> int:
        """0 after ordering: in mode `reason` all documents are explained already.

        Raises:
            InputError: An explanation is asked for in mode `score`.
        """
        if count and not self._explaining:
            raise InputError(f"found explain {count}; {self.kind} keeps its reasoning in mode reason; take that mode")
        return 0

    def query_cut(self, query: Query) -> int:
        """See `Scores`."""
        return self.encoder.query_cut(query)

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        prompts = [self.encoder.prompt(query, document) for document in documents]
        with self._lock, naming(query, documents):
            ratings = self.encoder.ratings(self.engine, prompts)
        return [
            RankedDocument(
                document.doc_id,
                rating.score,
                explanation=rating.reasoning or None if self._explaining else None,
                truncated=prompt.cut,
            )
            for document, prompt, rating in zip(documents, prompts, ratings, strict=True)
        ]


def takes(settings: RankerSettings) -> bool:
    """True where the model is, by name or files, a released reranker, and the mode is one that scores.

    Raises:
        InputError: It is a released reranker that cannot be run here.
    """
    return _form(settings) is not None


def reasons(settings: RankerSettings) -> bool:
    """True where the model is a released reranker that reasons about each document, even in mode `score`.

    Raises:
        InputError: It is a released reranker that cannot be run here.
    """
    form = _form(settings)
    return form is not None and not form.answers


def _form(settings: RankerSettings) -> ReleasedForm | None:
    graded = settings.loaded is None and settings.mode in TASK_MODES["judge"]
    return released_form(str(settings.model)) if graded else None


def open_ranker(settings: RankerSettings) -> Answers | Ratings:
    """The reranker.

    Raises:
        InputError: The model has no such mode, or the engine cannot give what the scores are made of.
        ModelError: The model is not available.
    """
    name = str(settings.model)
    form = released_form(name)
    assert form is not None
    rates = not form.answers
    modes = ("score", "reason") if rates else ("score",)
    if settings.mode not in modes:
        raise InputError(
            f"found mode {settings.mode} for {name}; {form.name} gives scores and no grades; "
            f"use mode {' or '.join(modes)}"
        )
    engines = ("transformers", "vllm") if rates else ("transformers",)
    if settings.engine not in engines:
        raise InputError(
            f"{name} is run by engine {' or '.join(engines)}, and the engine is {settings.engine}; leave it out"
        )
    source = find_source(name, settings.base)
    tokenizer, length = load_tokenizer(source.tokenizer), source.readable(form.length)
    encoder = RatingEncoder(tokenizer, form, length) if rates else AnswerEncoder(tokenizer, form, length)
    engine = open_engine(source, settings, vocabulary=len(tokenizer), length=length)
    if isinstance(encoder, RatingEncoder):
        return Ratings(engine, encoder, explaining=settings.mode == "reason")
    return Answers(engine, encoder)
