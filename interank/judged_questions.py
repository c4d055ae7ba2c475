"""Judgments on disk, iterated one question at a time, so that their number needs no memory."""

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
from typing import Generic, TypeVar

from interank.judgments import by_question, each_judgment, even_weights
from interank.types import Example, Split

Item = TypeVar("Item")


class Reiterable(Generic[Item]):
    """What a function yields, made anew at each iteration, so that it is not held."""

    def __init__(self, make: Callable[[], Iterator[Item]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Item]:
        return self._make()


@dataclass(eq=False)
class Summary:
    """Counts of judgments."""

    question_sizes: Counter[int] = field(default_factory=Counter)
    """The number of questions by how many documents they have."""
    grades: Counter[int] = field(default_factory=Counter)
    sites: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    unexplained: int = 0
    scored: int = 0
    """The number of labels with a score."""
    weights: array[float] = field(default_factory=lambda: array("d"))

    def add(self, items: list[Example]) -> None:
        """Count a question's judgments."""
        self.question_sizes[len(items)] += 1
        for item in items:
            self.grades[int(item.judgment.relevance)] += 1
            self.sites.add(item.source.site)
            self.licences.add(item.source.licence)
            self.unexplained += not item.judgment.reasoning
            self.scored += item.score is not None
            self.weights.append(item.weight)

    @property
    def examples(self) -> int:
        """The number of judgments."""
        return len(self.weights)

    @cached_property
    def weight(self) -> Callable[[float], float]:
        """A function that normalises a judgment's weight; see `even_weights`."""
        return even_weights(self.weights)


class JudgedQuestions:
    """The judgments of each question of a split, or of all, read from disk at each iteration.

    One question is in memory at a time; all are, if the rows of some question are not consecutive.
    """

    def __init__(self, folder: Path, split: Split | None = None) -> None:
        """Take an artifact's folder."""
        self._folder, self._split = folder, split

    def __iter__(self) -> Iterator[list[Example]]:
        """Yield each question's judgments, in file order.

        Raises:
            InputError: A line is no judgment.
        """
        return self._scattered() if self._scanned[0] else self._consecutive()

    @property
    def summary(self) -> Summary:
        """Counts of all judgments."""
        return self._scanned[1]

    def _consecutive(self) -> Iterator[list[Example]]:
        for _, items in groupby(each_judgment(self._folder, self._split), lambda item: item.query.query_id):
            yield list(items)

    def _scattered(self) -> Iterator[list[Example]]:
        yield from by_question(each_judgment(self._folder, self._split))

    @cached_property
    def _scanned(self) -> tuple[bool, Summary]:
        """Whether the rows of some question are not consecutive, and the counts."""
        summary = Summary()

        def names() -> Iterator[str]:
            for items in self._consecutive():
                summary.add(items)
                yield items[0].query.query_id

        if not recurs(names()):
            return False, summary
        summary = Summary()
        for items in self._scattered():
            summary.add(items)
        return True, summary


def recurs(names: Iterable[str]) -> bool:
    """Whether a name comes again after other ones; a digest of each name is held."""
    seen = set[int]()
    for number, (name, _) in enumerate(groupby(names), start=1):
        seen.add(int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big"))
        if len(seen) < number:
            return True
    return False


def sample(items: Iterable[Item], number: int, seed: int) -> list[Item]:
    """Draw at most `number` items, in their order; they are iterated twice, and those drawn are held."""
    total = sum(1 for _ in items)
    chosen = frozenset(random.Random(seed).sample(range(total), min(number, total)))
    return [item for place, item in enumerate(items) if place in chosen]


def validation_sample(questions: Iterable[Sequence[Example]], number: int, seed: int) -> list[Example]:
    """Draw whole questions that can be ranked, with documents of at least two grades.

    Args:
        questions: Each question's judgments; iterated twice.
        number: The most questions to draw.
        seed: The seed of the draw.
    """
    drawn = sample(Reiterable(lambda: filter(_is_rankable, questions)), number, seed)
    return [item for items in drawn for item in items]


def _is_rankable(items: Sequence[Example]) -> bool:
    return len({item.judgment.relevance for item in items}) > 1
