"""Ranks with released rerankers that answer yes or no, each in its own form; see `engines/yes_or_no`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from interank.engines.adapters import merged, with_adapter
from interank.engines.budget import within
from interank.engines.models import load_model, load_tokenizer
from interank.engines.soundness import require_scores
from interank.engines.transformers import TransformersEngine
from interank.engines.yes_or_no import AnswerEncoder, answer_form
from interank.errors import InputError
from interank.tasks.asked import RankerSettings
from interank.tasks.documents import naming, tell_unread
from interank.tasks.ranks import Ranking, Scores, Ungraded
from interank.tasks.sources import find_source
from interank.types import Document, Query, RankedDocument


class Answers(Ungraded, Scores):
    """A reranker by the logits of its answers; its scores are its own, and no grades."""

    engine: TransformersEngine
    kind = "a reranker that answers yes or no"

    def __init__(self, engine: TransformersEngine, encoder: AnswerEncoder) -> None:
        self.engine = engine
        self.encoder = encoder
        self._lock = threading.RLock()

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self.encoder.form.instructed

    def query_cut(self, query: Query) -> int:
        """See `Scores`; its own code does not tell."""
        return 0

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`."""
        if not self.follows:
            tell_unread(query, f"a {self.encoder.form.name}")
        prompts = [self.encoder.prompt(query, document) for document in documents]
        with self._lock, naming(query, documents):
            labels = self.engine.label_logits(prompts, self.encoder.labels)
            scores = [found.logits[0] - (found.logits[1] if self.encoder.form.no else 0.0) for found in labels]
            require_scores(scores)
        return [
            RankedDocument(document.doc_id, score, truncated=prompt.cut)
            for document, prompt, score in zip(documents, prompts, scores, strict=True)
        ]


def takes(asked: RankerSettings) -> bool:
    """Whether the model is one of those by its name.

    Raises:
        InputError: It is a released reranker that cannot be run here.
    """
    return asked.loaded is None and asked.mode == "score" and answer_form(str(asked.model)) is not None


def open_ranker(asked: RankerSettings) -> Answers:
    """The reranker.

    Raises:
        InputError: Another engine is asked for.
        ModelError: The model cannot be had.
    """
    name = str(asked.model)
    form = answer_form(name)
    assert form is not None
    if asked.engine != "transformers":
        raise InputError(f"{name} is run by engine transformers, and the engine is {asked.engine}; leave it out")
    source = find_source(name, asked.base)
    in_4_bits = asked.precision == "nf4"
    model = load_model(source.files, quantisation="nf4" if in_4_bits else "none")
    whole = merged(with_adapter(model, source.adapter)) if source.adapter is not None else model
    engine = TransformersEngine(
        whole, precision="exact" if in_4_bits else asked.precision, budget=within(whole, asked.memory)
    )
    return Answers(engine, AnswerEncoder(load_tokenizer(source.tokenizer), form, source.readable(form.length)))
