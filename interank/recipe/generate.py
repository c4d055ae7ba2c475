"""The recipe of `interank generate`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from interank.settings.base import FilePath, FilePaths, Settings
from interank.settings.explanations import ExplanationsRecipe
from interank.settings.mining import MiningRecipe
from interank.settings.prompts import PromptSettings
from interank.settings.teacher import BudgetRecipe, TeacherRecipe

# How to get the benchmarks for decontamination, or to do without it.
GET_BENCHMARKS = (
    "give the folders of the benchmarks that you will report (for BRIGHT: its examples and documents from the "
    "Hugging Face hub, xlangai/BRIGHT, as Parquet or JSONL), or turn the check off on purpose with decontaminate=false"
)


class GenerateRecipe(Settings):
    """`interank generate`: make judgments from StackExchange dumps."""

    inputs: ClassVar[tuple[str, ...]] = ("dumps", "pairs", "judgments", "benchmarks")
    stage: Literal["generate"]
    dumps: FilePaths | None = None
    """Folders with a `Posts.xml`, or folders of such folders; DIR,DIR on the command line."""
    pairs: FilePath | None = None
    """The output of `interank generate --mine-only`, to judge its pairs without mining again."""
    judgments: FilePath | None = None
    """Judgments or imported labels in place of dumps: with `teacher.grades: given` their grades are explained, with
    `teacher` their pairs are graded again."""
    benchmarks: FilePaths | None = None
    """Benchmark folders to keep out of the training data: BRIGHT's rows or BEIR's layout; DIR,DIR on the command
    line."""
    decontaminate: Literal[True, False, "queries"] = True
    """Whether questions and documents that overlap with `benchmarks` are removed; `queries` compares questions with the
    benchmarks' queries only, for training and test sets that share one knowledge base."""
    seed: int = 42
    """The seed of the sample, the split and the teacher's samples."""
    mining: MiningRecipe = MiningRecipe()
    """Which questions and documents are taken from the dumps."""
    teacher: TeacherRecipe
    """The model that judges the pairs."""
    prompt: PromptSettings = PromptSettings()
    """The teacher's prompt."""
    explanations: ExplanationsRecipe | None = None
    """How several explanations of each judged pair are collected and marked, for a reward model; null collects none.
    With `teacher.grades: given` they are added to the given judgments."""
    max_grade_share: float | None = Field(None, gt=1 / 3, lt=1)
    """The largest share of the judgments that one grade may have; judgments over it, drawn by `seed`, are left out."""
    budget: BudgetRecipe = BudgetRecipe()
    """The limits of asking the teacher. Judgments finished by then are written; `--resume` with a larger budget
    continues."""
    cache: FilePath | None = None
    """A folder that keeps the teacher's replies for all outputs, so that none is paid for twice; null takes
    $INTERANK_CACHE/replies where that variable is set."""

    @model_validator(mode="after")
    def _pairs_or_dumps(self) -> GenerateRecipe:
        if self.pairs and self.dumps:
            raise ValueError("pairs, dumps: both were given, but pairs=DIR is already mined; leave one of them out")
        if self.judgments and (self.pairs or self.dumps):
            other = "pairs" if self.pairs else "dumps"
            raise ValueError(
                f"judgments, {other}: both were given, but judgments=DIR has its own pairs; leave one of them out"
            )
        if self.judgments and self.teacher.grades == "votes":
            raise ValueError(
                "teacher.grades: votes come from mined posts, but judgments already have grades; set given to have "
                "these explained, or teacher to have the pairs graded again"
            )
        if self.teacher.grades == "given" and (self.pairs or self.dumps):
            raise ValueError(
                "teacher.grades: given takes the grades of judgments=DIR, but mined pairs have none; set votes"
            )
        if self.decontaminate and self.benchmarks == ():
            raise ValueError(f"benchmarks: none is in the list; {GET_BENCHMARKS}")
        return self

    @model_validator(mode="after")
    def _samples_can_differ(self) -> GenerateRecipe:
        teacher = self.teacher
        fixed = self.prompt.order == "grade_first" and not (teacher.engine == "openai" and teacher.server.api == "chat")
        if teacher.samples > 1 and (fixed or not teacher.grades_itself):
            source = "votes give the grade" if teacher.grades == "votes" else "the grades are given"
            reason = "a grade that is read first is always the same" if teacher.grades_itself else source
            raise ValueError(
                f"teacher.samples: {teacher.samples} samples cannot disagree, since {reason}; "
                "set prompt.order: reason_first and teacher.grades: teacher, or samples: 1"
            )
        return self

    @model_validator(mode="after")
    def _grades_alone_come_first(self) -> GenerateRecipe:
        teacher = self.teacher
        if teacher.grades_itself and not teacher.max_reasoning_tokens and self.prompt.order == "reason_first":
            raise ValueError(
                "teacher.max_reasoning_tokens: with 0 the grade is the whole answer, but prompt.order is reason_first; "
                "set grade_first, or give tokens to reason"
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
                "teacher.model: explanations are written or marked by a model, and none is named; name one, or set "
                "explanations.samples: 1 and explanations.marks: made"
            )
        explains = teacher.max_reasoning_tokens or explanations.samples > 1 or explanations.student
        if teacher.grades != "given" and not explains:
            raise ValueError(
                "teacher.max_reasoning_tokens: with 0 there are no honest explanations beside the constructed faults; "
                "give 8 or more, or explanations.samples: 2"
            )
        return self

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher's model is needed at all."""
        return self.teacher.is_asked or bool(self.explanations and self.explanations.asks_teacher)

    @model_validator(mode="after")
    def _dollars_need_a_price(self) -> GenerateRecipe:
        if self.budget.dollars is not None and self.teacher.price is None:
            raise ValueError("budget.dollars: the price of a token is not set; set teacher.price: {read: , written: }")
        return self

    def missing(self) -> list[str]:
        """The required inputs that are not set."""
        if self.teacher.grades == "given" and not self.judgments:
            return ["judgments"]
        if self.pairs or self.judgments:
            return []
        missing = [] if self.dumps else ["dumps"]
        return [*missing, "benchmarks"] if self.decontaminate and not self.benchmarks else missing
