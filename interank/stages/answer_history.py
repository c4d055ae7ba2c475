"""What became of a policy's answers to the same prompts: each trial's beside the one before it, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from interank.tasks.protocol import ShownPrompt
from interank.types import grouped

Change = Literal["same", "gone", "new"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Words of an answer, or of the one before it, that changed alike."""

    change: Change
    text: str


@dataclass(frozen=True, slots=True)
class Version:
    """An answer that some trials in a row gave."""

    steps: Sequence[int]
    stretches: Sequence[Stretch]

    @property
    def told(self) -> str:
        """Which steps'."""
        first, last = self.steps[0], self.steps[-1]
        return f"Step {first}" if first == last else f"Steps {first} to {last}"


@dataclass(frozen=True, slots=True)
class AnswerHistory:
    """The answers to one prompt, by step."""

    query: str
    shown: ShownPrompt
    versions: Sequence[Version]

    @property
    def told(self) -> str:
        """How much it changed."""
        number = len(self.versions) - 1
        return f"changed {number} time{'s' if number > 1 else ''}" if number else "never changed"


def followed(
    rows: Sequence[Mapping[str, Any]], shown: Callable[[Mapping[str, Any]], ShownPrompt]
) -> Iterator[AnswerHistory]:
    """Each prompt with its answers, in the order of the first trial.

    Args:
        rows: Those of `answers.jsonl`.
        shown: What a row is of, as the task has it.
    """
    for asked in grouped(rows, lambda row: (row["query_id"], row.get("doc_id"))).values():
        found: list[tuple[list[int], str]] = []
        for row in sorted(asked, key=lambda row: int(row["step"])):
            if found and found[-1][1] == row["completion"]:
                found[-1][0].append(row["step"])
            else:
                found.append(([row["step"]], row["completion"]))
        before = ["", *(text for _, text in found)]
        versions = [
            Version(steps, changes(old, text) if place else [Stretch("same", text)] if text else [])
            for place, (old, (steps, text)) in enumerate(zip(before, found, strict=False))
        ]
        yield AnswerHistory(str(asked[0]["query"]), shown(asked[0]), versions)


def changes(before: str, after: str) -> list[Stretch]:
    """The later text, with the words that went and those that came; blanks count as their word's."""
    old, new = (re.findall(r"\s*\S+|\s+\Z", text) for text in (before, after))
    stretches: list[Stretch] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            stretches.append(Stretch("same", "".join(new[c:d])))
            continue
        parts: tuple[tuple[Change, list[str]], ...] = (("gone", old[a:b]), ("new", new[c:d]))
        stretches += [Stretch(change, "".join(words)) for change, words in parts if words]
    return stretches
