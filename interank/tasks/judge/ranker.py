"""The judge as a ranker: it grades each document of a query, and its logits give the score to sort by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from interank import judging
from interank.engines.judge import Verdict
from interank.engines.models import load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.errors import InputError
from interank.modes import GradedMode, Guard, explained_by_default, explains
from interank.settings import AdaptiveRecipe, PromptSettings
from interank.settings.base import validated
from interank.tasks.documents import naming
from interank.tasks.judge.asking import LABEL_ROOM, Judge
from interank.tasks.judge.guard import guarded
from interank.tasks.ranker_settings import LoadedModel, RankerSettings
from interank.tasks.ranks import Ranking, Scores
from interank.tasks.sources import Source, find_source, open_engine
from interank.types import Document, Query, RankedDocument

_GRADES_ALONE = "it was taught grades without explanations"
_EXPLAINED_JUDGMENTS = (
    "distill judgments that have them (interank generate judgments=DIR teacher.grades=given lets a teacher write them)"
)


class GradeRanker(Scores):
    """A reranker that sorts by a judge's grades."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.engine = judge.engine
        self.guard = judge.guard

    def in_mode(self, mode: GradedMode) -> GradeRanker:
        """The same model in another mode that grades."""
        return GradeRanker(replace(self.judge, mode=mode))

    def guarded(self, guard: Guard) -> GradeRanker:
        """See `Ranks`."""
        return GradeRanker(guarded(self.judge, guard))

    def query_cut(self, query: Query) -> int:
        """See `Scores`."""
        return self.judge.encoder.query_cut(query)

    def scored(self, query: Query, documents: Sequence[Document]) -> Ranking:
        """See `Scores`; explained in mode `reason` alone."""
        with self.judge.lock, naming(query, documents):
            verdicts = self.judge.verdicts(query, documents)
        return [ranked_document(document, *judged) for document, judged in zip(documents, verdicts, strict=True)]

    @property
    def follows(self) -> bool:
        """See `OneModel`."""
        return self.judge.encoder.settings.follows

    @property
    def can_explain(self) -> bool:
        """See `OneModel`."""
        return self.judge.explains

    def explains(self, count: int | None) -> int:
        """How many documents to explain: by default 3 in mode `explain`, none in `score`; `reason` has explained all.

        Raises:
            InputError: The count is negative.
        """
        if count is not None and count < 0:
            raise InputError(f"explain is {count}; give 0 or more")
        if count and not self.judge.explains:
            raise InputError(f"found explain {count}; {_GRADES_ALONE}; set explain to 0, or {_EXPLAINED_JUDGMENTS}")
        mode = self.judge.mode
        return 0 if mode == "reason" else explained_by_default(mode) if count is None else count

    def explained(
        self, query: Query, documents: Sequence[Document], ranking: Sequence[RankedDocument], count: int
    ) -> Ranking:
        """See `OneModel`; the grades are given."""
        first = [(i, i.relevance) for i in ranking[:count] if i.explanation is None and i.relevance is not None]
        if not first:
            return list(ranking)
        by_id = {document.doc_id: document for document in documents}
        graded = [(by_id[item.doc_id], relevance) for item, relevance in first]
        with self.judge.lock, naming(query, [document for document, _ in graded]):
            texts = self.judge.explanations(query, graded)
        texts_by_id = dict(zip((item.doc_id for item, _ in first), texts, strict=True))
        return [replace(i, explanation=texts_by_id[i.doc_id]) if i.doc_id in texts_by_id else i for i in ranking]


def ranked_document(document: Document, prompt: Prompt, verdict: Verdict) -> RankedDocument:
    """The document with its score, grade, probabilities and explanation."""
    logits = verdict.labels.logits
    return RankedDocument(
        document.doc_id,
        judging.score(logits),
        judging.most_probable(logits),
        judging.probabilities(logits),
        verdict.labels.mass,
        verdict.reasoning or None,
        prompt.cut,
    )


def judge_encoder(source: Source) -> PromptEncoder:
    """The encoder of a model's prompts: those it was trained on, its own, or the default ones.

    Raises:
        ArtifactError: The model was trained on another task's prompts, or on another wording.
    """
    trained = source.trained_on("judge")
    settings = source.prompt() if trained is None else validated(PromptSettings, trained, f"{source.name}: prompt")
    source.check_wording(settings.wording)
    return PromptEncoder(load_tokenizer(source.tokenizer), settings)


def load_judge(settings: RankerSettings) -> LoadedModel:
    """The engine with a model, the encoder of its prompts, and its modes.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be loaded, or no server answers.
    """
    source = find_source(str(settings.model), settings.base)
    encoder = judge_encoder(source)
    length = encoder.settings.max_length + settings.max_reasoning_tokens + LABEL_ROOM
    modes = source.modes()
    _require_explanations(source.name, modes, settings)
    return LoadedModel(open_engine(source, settings, vocabulary=encoder.vocabulary, length=length), encoder, modes)


def _require_explanations(name: str, modes: Sequence[str], settings: RankerSettings) -> None:
    """Refuse modes that explain for a model that learned grades alone.

    Raises:
        InputError: The mode explains and the model cannot.
    """
    spends = (settings.adaptive or AdaptiveRecipe()).spend if settings.mode == "adaptive" else None
    if explains(modes) or not (settings.mode in ("explain", "reason") or spends in ("reason", "samples")):
        return
    raise InputError(
        f"found mode {settings.mode} for {name}; {_GRADES_ALONE}; use mode score, or {_EXPLAINED_JUDGMENTS}"
    )


def open_ranker(settings: RankerSettings) -> GradeRanker:
    """A model that grades; `adaptive` begins with mode `score`.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be loaded, or no server answers.
        InputError: The engine lacks what the mode needs.
    """
    loaded = settings.loaded or load_judge(settings)
    mode = "score" if settings.mode == "adaptive" else cast(GradedMode, settings.mode)
    can_explain = explains(loaded.modes)
    return GradeRanker(Judge(loaded.engine, loaded.encoder, mode, settings.max_reasoning_tokens, explains=can_explain))
