"""The recipe keys of task `head`: its data, its loss and its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from interank.modes import Mode
from interank.settings.base import FilePath
from interank.settings.heads import HeadSettings, Objective
from interank.tasks.recipes import TrainerConfig, TriedRecipe
from interank.types import Language

Negatives = Literal["given", "bm25", "run"]

# The teacher whose scores are the judgments' own probabilities.
JUDGMENTS_AS_TEACHER = "judgments"


class DistillHead(TriedRecipe):
    """Learn a head that gives a query and a document one number; it writes nothing."""

    shorter: ClassVar[tuple[str, ...]] = ("documents", "encoding.max_length")
    ranks_in: ClassVar[tuple[Mode, ...]] = ("score",)
    trained_on: ClassVar[str] = "pairs"
    task: Literal["head"]
    """What is learned: a number for each document."""
    objective: Objective
    """The loss."""

    groups: FilePath | None = None
    """Queries with positives and negatives, a file or a folder: JSONL in Tevatron's layout of MS MARCO, or triples as
    JSONL or TSV, each plain or gzip; null takes the judgments."""
    queries: int | None = Field(None, ge=1)
    """The number of queries to train on, a seeded sample; null takes all."""
    documents: int = Field(8, ge=2)
    """The documents of a group: one of the query's most relevant, and less relevant ones; a query with fewer makes a
    smaller group. `per_device_train_batch_size` counts groups."""
    groups_per_query: int = Field(1, ge=1)
    """The groups drawn from each query; each takes other documents as far as there are any."""
    negatives: Negatives = "given"
    """Their source: `given` is `groups` or the judgments, `bm25` is BM25's ranking, `run` is the ranking in `run`."""
    language: Language | None = Field(None, exclude_if=not_)
    """The language of the stems that `bm25` compares; null compares whole words."""
    run: FilePath | None = None
    """A TREC run to take negatives from."""
    corpus: FilePath | None = None
    """The documents that `bm25` searches or `run` names, as JSONL; null takes those of `groups` or the judgments."""
    depth: int = Field(100, ge=1)
    """Negatives are drawn from this many first documents of a ranking, positives left out."""
    teacher: str | None = None
    """The model whose scores are distilled: an output of distill, or the folder or hub name of a cross-encoder or of a
    released reranker; `judgments` takes the judgments' scores or probabilities. Scores are computed once, before
    training, and stored as `teacher_scores.jsonl`."""
    teacher_scores: FilePath | None = None
    """A `teacher_scores.jsonl` or a TREC run, in place of `teacher`."""
    teacher_encoding: HeadSettings | None = None
    """How the teacher reads a pair, where its folder has no settings of that."""
    teacher_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The dtype of the teacher's computation."""
    alpha: float = Field(0.1, ge=0, le=1)
    """The share of distillation in the loss, where there is a teacher."""
    temperature: float = Field(2.0, gt=0)
    """Softens both sides of the distillation."""
    adapter: FilePath | None = None
    """A head from distill to train further, with its own `encoding` and `lora`."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """The share of the queries of `groups` held out for validation; judgments have their own split."""
    encoding: HeadSettings | None = None
    """How a pair becomes tokens; null takes the adapter's, else the defaults."""

    @model_validator(mode="after")
    def _one_teacher(self) -> DistillHead:
        if self.teacher and self.teacher_scores:
            raise ValueError("teacher, teacher_scores: both were given; give the one whose scores are to be learned")
        if self.teacher == JUDGMENTS_AS_TEACHER and (self.groups or self.negatives != "given"):
            raise ValueError(
                "teacher: judgments has scores of the judged documents alone; leave out groups, and negatives from "
                "elsewhere, or take a model"
            )
        return self

    @model_validator(mode="after")
    def _negatives_come_from_somewhere(self) -> DistillHead:
        if (self.negatives == "run") != (self.run is not None):
            raise ValueError(
                "negatives, run: `negatives: run` takes a run file, and only it does; give both or neither"
            )
        if self.negatives != "bm25" and self.language is not None:
            raise ValueError("language: only `negatives: bm25` compares words; set it, or leave language out")
        if self.negatives == "given" and self.corpus is not None:
            raise ValueError(
                "corpus: nothing is taken from it with `negatives: given`; set bm25 or run, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _an_adapter_has_its_encoding(self) -> DistillHead:
        if self.adapter and self.encoding:
            raise ValueError("encoding: a head that is trained further keeps its own; leave encoding out")
        return self

    @model_validator(mode="after")
    def _ranknet_has_a_teacher(self) -> DistillHead:
        if self.objective == "ranknet" and not (self.teacher or self.teacher_scores):
            raise ValueError(
                "objective: ranknet learns a teacher's differences; give teacher or teacher_scores, or take "
                "ranknet_hard, which learns the grades'"
            )
        return self

    @classmethod
    def trainer_config(cls, given: Mapping[str, Any]) -> TrainerConfig:
        """Heads are trained by transformers' own trainer."""
        return "TrainingArguments"

    def missing(self) -> list[str]:
        """The inputs that are missing and without which it cannot start."""
        return [] if self.judgments or self.groups else ["judgments"]
