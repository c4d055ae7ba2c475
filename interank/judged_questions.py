"""Judgments that stay on disk: gone through a question at a time, however many there are."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

from interank.judgments import by_question, each_judgment, even_weights
from interank.types import Example, Split


@dataclass(eq=False)
class Summary:
    """What there is of judgments."""

    questions: Counter[int] = field(default_factory=Counter)
    """How many questions have so many documents."""
    grades: Counter[int] = field(default_factory=Counter)
    sites: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    unexplained: int = 0
    weights: array[float] = field(default_factory=lambda: array("d"))

    def add(self, items: list[Example]) -> None:
        """Count a question."""
        self.questions[len(items)] += 1
        for item in items:
            self.grades[int(item.judgment.relevance)] += 1
            self.sites.add(item.source.site)
            self.licences.add(item.source.licence)
            self.unexplained += not item.judgment.reasoning
            self.weights.append(item.weight)

    @property
    def examples(self) -> int:
        """How many judgments there are."""
        return len(self.weights)

    @cached_property
    def weight(self) -> Callable[[float], float]:
        """What makes a judgment's weight an even one."""
        return even_weights(self.weights)


class JudgedQuestions:
    """The judgments of each question of a split, read from disk each time they are gone through.

    One question is held at a time, unless what some question has lies apart: then all of them are.
    """

    def __init__(self, folder: Path, split: Split) -> None:
        """Take an artifact's folder."""
        self._folder, self._split = folder, split

    def __iter__(self) -> Iterator[list[Example]]:
        """Yield what each question has, questions and what they have in their order.

        Raises:
            InputError: A line is no judgment.
        """
        return self._apart() if self._looked_through[0] else self._neighbours()

    @property
    def summary(self) -> Summary:
        """What there is of them."""
        return self._looked_through[1]

    def _neighbours(self) -> Iterator[list[Example]]:
        for _, items in groupby(each_judgment(self._folder, self._split), lambda item: item.query.query_id):
            yield list(items)

    def _apart(self) -> Iterator[list[Example]]:
        yield from by_question(each_judgment(self._folder, self._split))

    @cached_property
    def _looked_through(self) -> tuple[bool, Summary]:
        """Whether what some question has lies apart, and what there is."""
        summary, seen = Summary(), set[int]()
        for number, items in enumerate(self._neighbours(), start=1):
            name = items[0].query.query_id.encode("utf-8", "replace")
            seen.add(int.from_bytes(blake2b(name, digest_size=8).digest(), "big"))
            if len(seen) < number:
                summary = Summary()
                for own in self._apart():
                    summary.add(own)
                return True, summary
            summary.add(items)
        return False, summary


def validation_sample(questions: Iterable[Sequence[Example]], number: int, seed: int) -> list[Example]:
    """Whole questions, so many at most, that have something to rank: documents of at least two grades.

    Args:
        questions: What each has; gone through twice.
        number: How many.
        seed: Decides which.
    """
    rankable = sum(map(_is_rankable, questions))
    chosen = frozenset(random.Random(seed).sample(range(rankable), min(number, rankable)))
    found = enumerate(filter(_is_rankable, questions))
    return [item for place, items in found if place in chosen for item in items]


def _is_rankable(items: Sequence[Example]) -> bool:
    return len({item.judgment.relevance for item in items}) > 1
