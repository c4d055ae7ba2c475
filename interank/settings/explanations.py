"""How explanations with marks are collected, from which a reward model is learned."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from interank.settings.base import FilePath, Settings, as_tuple

Fault = Literal[
    "other_document",
    "opposite_stance",
    "template",
    "invented_quote",
    "pasted",
    "idle_quote",
    "padding",
    "to_the_judge",
    "minimal_edit",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class ExplanationsRecipe(Settings):
    """Several explanations of each judged pair, the teacher's, a student's and made faults, and what each is worth."""

    samples: int = Field(2, ge=1, le=16)
    """The teacher's explanations of a pair, that of the judgment among them."""
    student: FilePath | None = None
    """An adapter of task judge, or a first output of distill, whose own explanations are marked too."""
    student_samples: int = Field(2, ge=1, le=16)
    """How many of the student's there are of a pair."""
    faults: Annotated[tuple[Fault, ...], BeforeValidator(as_tuple)] = FAULTS
    """The kinds of faults that are made."""
    marks: Literal["teacher", "made"] = "teacher"
    """`teacher` has the teacher mark the explanations of a pair side by side, in two orders; `made` asks nobody: an
    honest explanation is worth 1, a made fault 0."""
    pairs: int | None = Field(None, ge=1)
    """How many judged pairs are taken, drawn by `seed`; null takes all."""
    seed: int = 0
    """Decides which pairs are taken, what is sampled, the faults and the orders."""
    temperature: float = Field(0.8, gt=0)
    """At which teacher and student write further explanations."""
    max_tokens: int = Field(128, ge=8)
    """An explanation's budget."""
    max_length: int = Field(6144, ge=512)
    """Room for what is marked at a time, in tokens: question, document, all explanations of a pair, and their marks;
    the document is cut to it."""

    @model_validator(mode="after")
    def _something_differs(self) -> ExplanationsRecipe:
        if len(set(self.faults)) < len(self.faults):
            raise ValueError("faults: a kind is named twice; name each once")
        if self.marks == "made" and not self.faults:
            raise ValueError("faults: marks made tells made faults from honest ones, and none is made; name some")
        if self.marks == "made" and self.student is not None:
            raise ValueError(
                "student: with marks made nobody reads what the student writes, and all of it would be worth 1; leave "
                "the student out, or have a teacher mark (marks: teacher)"
            )
        if not self.faults and self.samples == 1 and self.student is None:
            raise ValueError(
                "samples: with 1, no faults and no student there is one explanation a pair, and nothing to compare; "
                "raise samples, or name faults or a student"
            )
        return self

    @property
    def asks_teacher(self) -> bool:
        """Whether a teacher explains or marks."""
        return self.marks == "teacher" or self.samples > 1
