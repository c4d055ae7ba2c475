"""A policy's answers to the same prompts from trial to trial, each compared with the one before, word by word."""

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
    """Successive words with the same change: kept, removed or added."""

    change: Change
    text: str


@dataclass(frozen=True, slots=True)
class Version:
    """An answer that one trial or several successive trials gave."""

    steps: Sequence[int]
    stretches: Sequence[Stretch]

    @property
    def told(self) -> str:
        """The steps in words."""
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
        """The number of changes in words."""
        number = len(self.versions) - 1
        return f"changed {number} time{'s' if number > 1 else ''}" if number else "never changed"


def histories(
    rows: Sequence[Mapping[str, Any]], shown: Callable[[Mapping[str, Any]], ShownPrompt]
) -> Iterator[AnswerHistory]:
    """Each prompt with its answers, in the order of the first trial.

    Args:
        rows: The rows of `answers.jsonl`.
        shown: Gives the prompt of a row, as the task shows it.
    """
    for answers in grouped(rows, lambda row: (row["query_id"], row.get("doc_id"))).values():
        texts: list[tuple[list[int], str]] = []
        for row in sorted(answers, key=lambda row: int(row["step"])):
            if texts and texts[-1][1] == row["completion"]:
                texts[-1][0].append(row["step"])
            else:
                texts.append(([row["step"]], row["completion"]))
        before = ["", *(text for _, text in texts)]
        versions = [
            Version(steps, changes(old, text) if place else [Stretch("same", text)] if text else [])
            for place, (old, (steps, text)) in enumerate(zip(before, texts, strict=False))
        ]
        yield AnswerHistory(str(answers[0]["query"]), shown(answers[0]), versions)


def changes(before: str, after: str) -> list[Stretch]:
    """The later text with removed and added words marked; whitespace belongs to the word after it."""
    old, new = (re.findall(r"\s*\S+|\s+\Z", text) for text in (before, after))
    stretches: list[Stretch] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            stretches.append(Stretch("same", "".join(new[c:d])))
            continue
        parts: tuple[tuple[Change, list[str]], ...] = (("gone", old[a:b]), ("new", new[c:d]))
        stretches += [Stretch(change, "".join(words)) for change, words in parts if words]
    return stretches
