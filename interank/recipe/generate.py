"""What `interank generate` can be told."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from interank.settings.base import FilePath, FilePaths, Settings
from interank.settings.explanations import ExplanationsRecipe
from interank.settings.mining import MiningRecipe
from interank.settings.prompts import PromptSettings
from interank.settings.teacher import BudgetRecipe, TeacherRecipe

# How to get what decontamination compares with, or do without it.
GET_BENCHMARKS = (
    "give the folders of the benchmarks that you will report (for BRIGHT: its examples and documents from the "
    "Hugging Face hub, xlangai/BRIGHT, as Parquet or JSONL), or turn the check off on purpose with decontaminate=false"
)


class GenerateRecipe(Settings):
    """`interank generate`: StackExchange dumps to judgments."""

    inputs: ClassVar[tuple[str, ...]] = ("dumps", "pairs", "judgments", "benchmarks")
    stage: Literal["generate"]
    dumps: FilePaths | None = None
    """Folders with a `Posts.xml`, or folders of such folders; DIR,DIR on the command line."""
    pairs: FilePath | None = None
    """The output of `interank generate --mine-only`, to judge it without mining anew."""
    judgments: FilePath | None = None
    """Judgments, or labels that were imported, in place of dumps: with `teacher.grades: given` their grades are
    explained, with `teacher` their pairs are graded anew."""
    benchmarks: FilePaths | None = None
    """Benchmark folders to keep out of the training data: BRIGHT's rows or BEIR's layout; DIR,DIR on the command
    line."""
    decontaminate: Literal[True, False, "queries"] = True
    """Whether questions and documents that overlap with `benchmarks` are removed; `queries` removes questions that
    overlap with the benchmarks' queries alone, for training and test that share one knowledge base."""
    seed: int = 42
    """Decides the sample, the split and what the teacher samples."""
    mining: MiningRecipe = MiningRecipe()
    """What is taken from the dumps."""
    teacher: TeacherRecipe
    """Who judges it."""
    prompt: PromptSettings = PromptSettings()
    """What the teacher reads."""
    explanations: ExplanationsRecipe | None = None
    """Whether, and how, several explanations of each judged pair are collected and marked, for a reward model; they
    are added to judgments that are given with `teacher.grades: given`."""
    max_grade_share: float | None = Field(None, gt=1 / 3, lt=1)
    """The largest share of the judgments that one grade may have; what is over it is drawn by `seed` and left out."""
    budget: BudgetRecipe = BudgetRecipe()
    """Where asking stops; what is judged by then is written, and `--resume` with a larger budget goes on."""
    cache: FilePath | None = None
    """A folder that keeps replies over all outputs, so that none is paid for twice; $INTERANK_CACHE/replies where
    that is set."""

    @model_validator(mode="after")
    def _pairs_or_dumps(self) -> GenerateRecipe:
        if self.pairs and self.dumps:
            raise ValueError("pairs, dumps: both were given; pairs=DIR is already mined, so leave one of them out")
        if self.judgments and (self.pairs or self.dumps):
            other = "pairs" if self.pairs else "dumps"
            raise ValueError(
                f"judgments, {other}: both were given; judgments=DIR has its pairs, so leave one of them out"
            )
        if self.judgments and self.teacher.grades == "votes":
            raise ValueError(
                "teacher.grades: votes are those of mined posts, and judgments have grades; set given to have them "
                "explained, or teacher to have the pairs graded anew"
            )
        if self.teacher.grades == "given" and (self.pairs or self.dumps):
            raise ValueError(
                "teacher.grades: given takes the grades of judgments=DIR, and mined pairs have none; set votes"
            )
        if self.decontaminate and self.benchmarks == ():
            raise ValueError(f"benchmarks: none is in the list; {GET_BENCHMARKS}")
        return self

    @model_validator(mode="after")
    def _samples_can_differ(self) -> GenerateRecipe:
        teacher = self.teacher
        fixed = self.prompt.order == "grade_first" and not (teacher.engine == "openai" and teacher.server.api == "chat")
        if teacher.samples > 1 and (fixed or not teacher.grades_itself):
            known = "votes give the grade" if teacher.grades == "votes" else "the grades are given"
            why = "a grade that is read first is always the same" if teacher.grades_itself else known
            raise ValueError(
                f"teacher.samples: {teacher.samples} samples cannot disagree, since {why}; "
                "set prompt.order: reason_first and teacher.grades: teacher, or samples: 1"
            )
        return self

    @model_validator(mode="after")
    def _grades_alone_come_first(self) -> GenerateRecipe:
        teacher = self.teacher
        if teacher.grades_itself and not teacher.max_reasoning_tokens and self.prompt.order == "reason_first":
            raise ValueError(
                "teacher.max_reasoning_tokens: with 0 the grade is the whole answer, and prompt.order is reason_first; "
                "set grade_first, or leave room to reason"
            )
        return self

    @model_validator(mode="after")
    def _given_grades_gain_something(self) -> GenerateRecipe:
        teacher, explanations = self.teacher, self.explanations
        if explanations is None:
            if teacher.grades == "given" and not teacher.max_reasoning_tokens:
                raise ValueError(
                    "teacher.max_reasoning_tokens: with 0 nothing would be added to given grades; give 8 or more"
                )
            return self
        if explanations.asks_teacher and not teacher.model:
            raise ValueError(
                "teacher.model: nobody is named to write or mark explanations; name a model, or set "
                "explanations.samples: 1 and explanations.marks: made"
            )
        explains = teacher.max_reasoning_tokens or explanations.samples > 1 or explanations.student
        if teacher.grades != "given" and not explains:
            raise ValueError(
                "teacher.max_reasoning_tokens: with 0 there are no honest explanations to set beside made faults; give "
                "8 or more, or explanations.samples: 2"
            )
        return self

    @property
    def asks_teacher(self) -> bool:
        """Whether there is anything to ask a model for."""
        return self.teacher.is_asked or bool(self.explanations and self.explanations.asks_teacher)

    @model_validator(mode="after")
    def _dollars_need_a_price(self) -> GenerateRecipe:
        if self.budget.dollars is not None and self.teacher.price is None:
            raise ValueError("budget.dollars: nothing says what a token costs; set teacher.price: {read: , written: }")
        return self

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        if self.teacher.grades == "given" and not self.judgments:
            return ["judgments"]
        if self.pairs or self.judgments:
            return []
        missing = [] if self.dumps else ["dumps"]
        return [*missing, "benchmarks"] if self.decontaminate and not self.benchmarks else missing
