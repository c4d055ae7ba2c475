"""What distill can be told of a head: what it learns from, what the loss is, and which teacher is distilled."""

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
    """A head of one number for a query and a document is learned; it writes nothing."""

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
    """How many of the queries are trained on, a seeded sample; null takes all."""
    documents: int = Field(8, ge=2)
    """Documents of a group: one of the query's most relevant, and less relevant ones; a query that has fewer makes a
    smaller group. `per_device_train_batch_size` counts groups."""
    groups_per_query: int = Field(1, ge=1)
    """How many groups are drawn of a query; each takes other documents as far as there are any."""
    negatives: Negatives = "given"
    """`given` draws them from what `groups` or the judgments have, `bm25` from what BM25 finds, `run` from `run`."""
    language: Language | None = Field(None, exclude_if=not_)
    """In which `bm25` compares words by their stems; null compares words as they stand."""
    run: FilePath | None = None
    """A TREC run to take negatives from."""
    corpus: FilePath | None = None
    """JSONL of the documents that `bm25` searches or `run` names; null takes those of `groups` or the judgments."""
    depth: int = Field(100, ge=1)
    """How many of a ranking's first documents, positives left out, negatives are drawn from."""
    teacher: str | None = None
    """Whose scores are distilled: an output of distill, the folder or hub name of a cross-encoder or of a released
    reranker; `judgments` takes the judgments' scores or probabilities. They are computed once, before
    training, and kept as `teacher_scores.jsonl`."""
    teacher_scores: FilePath | None = None
    """Such a file, or a TREC run, in place of `teacher`."""
    teacher_encoding: HeadSettings | None = None
    """How the teacher reads a pair, for one whose folder does not say so."""
    teacher_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the teacher is computed in."""
    alpha: float = Field(0.1, ge=0, le=1)
    """The share of distillation in the loss, where there is a teacher."""
    temperature: float = Field(2.0, gt=0)
    """Softens both sides of the distillation."""
    adapter: FilePath | None = None
    """A head that distill trained, to train further: `encoding` and `lora` are its own then."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """The share of the queries of `groups` that is tried on and not trained on; judgments have their own split."""
    encoding: HeadSettings | None = None
    """How a pair becomes tokens; null takes the adapter's, else the defaults."""

    @model_validator(mode="after")
    def _one_teacher(self) -> DistillHead:
        if self.teacher and self.teacher_scores:
            raise ValueError("teacher, teacher_scores: both were given; give the one whose scores are to be learned")
        if self.teacher == JUDGMENTS_AS_TEACHER and (self.groups or self.negatives != "given"):
            raise ValueError(
                "teacher: judgments have probabilities of their own documents alone; leave groups, and negatives from "
                "elsewhere, out, or take a model"
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
            raise ValueError("encoding: a head that is trained further reads as it was trained to; leave it out")
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
        """The inputs without which it cannot start."""
        return [] if self.judgments or self.groups else ["judgments"]
