"""Whole lists in recipes: what distill and rl learn of them."""

from __future__ import annotations

from pydantic import Field, model_validator

from interank.settings.base import FilePaths, Settings
from interank.settings.listwise import ListPromptSettings


class DistillListsRecipe(Settings):
    """Lists to be learned in place of single documents."""

    dear_cot: FilePaths = ()
    """Folders or files in DeAR-COT's layout; without any, the orderings of `judgments` are learned."""
    benchmarks: FilePaths = ()
    """Benchmark folders to keep out of `dear_cot`, whose card names BEIR and TREC DL; DIR,DIR on the command line."""
    decontaminate: bool = True
    """Whether lists of `dear_cot` that overlap with `benchmarks` are left out."""
    window: int = Field(20, ge=2)
    """Lists with more documents are left out."""
    shuffles: int = Field(1, ge=0)
    """In how many orders each list is shown, drawn by `seed`, with the reasoning's numbers changed alike; 0 shows it
    as it stands."""
    max_reasoning_tokens: int = Field(2048, ge=8)
    """Lists with a longer reasoning are left out: cut short it would lead to no ranking."""
    prompt: ListPromptSettings = ListPromptSettings()
    """What the student reads, and whether it reasons before it ranks."""

    @model_validator(mode="after")
    def _benchmarks_are_given(self) -> DistillListsRecipe:
        if self.dear_cot and self.decontaminate and not self.benchmarks:
            raise ValueError(
                "benchmarks: lists from elsewhere may hold what a benchmark tests; give the folders of the benchmarks "
                "that you will report, or turn the check off on purpose with lists.decontaminate=false"
            )
        return self


class RlListsRecipe(Settings):
    """Lists to be ordered in place of single documents to be graded; prompts are those of the adapter."""

    window: int = Field(20, ge=2)
    """The most documents of a list: one of each query, spread over the grades."""
    shuffles: int = Field(1, ge=1)
    """In how many orders each list is shown, drawn by `seed`."""
