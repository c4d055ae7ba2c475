"""How marked explanations are collected, on which a reward model is trained."""

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
    """Several explanations of each judged pair (the teacher's, a student's, and faulty ones), each with a mark."""

    samples: int = Field(2, ge=1, le=16)
    """The teacher's explanations of each pair, the judgment's own included."""
    student: FilePath | None = None
    """An adapter of task judge, an output of distill or rl, whose own explanations are marked too."""
    student_samples: int = Field(2, ge=1, le=16)
    """The student's explanations of each pair."""
    faults: Annotated[tuple[Fault, ...], BeforeValidator(as_tuple)] = FAULTS
    """The kinds of faulty explanations that are constructed."""
    marks: Literal["teacher", "made"] = "teacher"
    """`teacher` has the teacher mark the explanations of a pair side by side, in two orders; `made` calls no model:
    an honest explanation gets 1, a constructed fault 0."""
    pairs: int | None = Field(None, ge=1)
    """How many judged pairs are used, drawn by `seed`; null uses all."""
    seed: int = 0
    """Draws the pairs, the samples, the faults and the orders."""
    temperature: float = Field(0.8, gt=0)
    """The temperature at which teacher and student write further explanations."""
    max_tokens: int = Field(128, ge=8)
    """The token budget of an explanation."""
    max_length: int = Field(6144, ge=512)
    """The length of a marking request in tokens: question, document, all explanations of a pair, and their marks; the
    document is cut to fit, and where less than 64 tokens of it would be left the explanations get no marks."""

    @model_validator(mode="after")
    def _something_differs(self) -> ExplanationsRecipe:
        if len(set(self.faults)) < len(self.faults):
            raise ValueError("faults: a kind is named twice; name each once")
        if self.marks == "made" and not self.faults:
            raise ValueError("faults: marks: made needs constructed faults beside the honest ones; name some")
        if self.marks == "made" and self.student is not None:
            raise ValueError(
                "student: with marks: made nobody reads the student's explanations, and each would get 1; leave "
                "the student out, or have a teacher mark (marks: teacher)"
            )
        if not self.faults and self.samples == 1 and self.student is None:
            raise ValueError(
                "samples: with 1, no faults and no student a pair has one explanation and none to compare it with; "
                "raise samples, or name faults or a student"
            )
        return self

    @property
    def asks_teacher(self) -> bool:
        """Whether a teacher explains or marks."""
        return self.marks == "teacher" or self.samples > 1
