"""The recipe keys of task `order`, for distill and rl."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from interank.modes import ListMode, Mode
from interank.settings.base import FilePaths
from interank.settings.listwise import ListPromptSettings
from interank.tasks.recipes import InstructedRecipe, RlLists


class DistillOrder(InstructedRecipe):
    """Learn to order whole lists, for `mode: listwise`."""

    shorter: ClassVar[tuple[str, ...]] = ("max_reasoning_tokens", "prompt.max_length")
    ranks_in: ClassVar[tuple[Mode, ...]] = get_args(ListMode)
    trained_on: ClassVar[str] = "lists"
    task: Literal["order"]
    """What is learned: to put a list in order, best first."""
    dear_cot: FilePaths = ()
    """Folders or files in DeAR-COT's layout; without any, the orderings of `judgments` are learned."""
    benchmarks: FilePaths = ()
    """Benchmark folders to keep out of `dear_cot`, whose card names BEIR and TREC DL; DIR,DIR on the command line."""
    decontaminate: bool = True
    """Leave out lists of `dear_cot` that overlap with `benchmarks`."""
    window: int = Field(20, ge=2)
    """Lists with more documents are left out."""
    shuffles: int = Field(1, ge=0)
    """The number of orders in which each list is shown, drawn by `seed`, with the reasoning's numbers changed along; 0
    shows the list in its own order."""
    max_reasoning_tokens: int = Field(2048, ge=8)
    """Lists with a longer reasoning are left out: a reasoning that is cut leads to no ranking."""
    prompt: ListPromptSettings = ListPromptSettings()
    """The student's prompt, and whether it reasons before it ranks."""

    @model_validator(mode="after")
    def _benchmarks_are_given(self) -> DistillOrder:
        if self.dear_cot and self.decontaminate and not self.benchmarks:
            raise ValueError(
                "benchmarks: lists from elsewhere may hold what a benchmark tests; give the folders of the benchmarks "
                "that you will report, or turn the check off on purpose with decontaminate=false"
            )
        return self

    def missing(self) -> list[str]:
        """The inputs that are missing and without which it cannot start."""
        return [] if self.judgments or self.dear_cot else ["judgments"]


class RlOrder(RlLists):
    """Reward orders of whole lists, by GRPO; prompts are those of the adapter."""

    task: Literal["order"]
    """What is learned: to put a list in order, best first."""
