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

from interank.judgments import by_question, each_judgment, even_weights
from interank.types import Example, Split


@dataclass(eq=False)
class Summary:
    """Counts of judgments."""

    question_sizes: Counter[int] = field(default_factory=Counter)
    """The number of questions by how many documents they have."""
    grades: Counter[int] = field(default_factory=Counter)
    sites: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    unexplained: int = 0
    weights: array[float] = field(default_factory=lambda: array("d"))

    def add(self, items: list[Example]) -> None:
        """Count a question's judgments."""
        self.question_sizes[len(items)] += 1
        for item in items:
            self.grades[int(item.judgment.relevance)] += 1
            self.sites.add(item.source.site)
            self.licences.add(item.source.licence)
            self.unexplained += not item.judgment.reasoning
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
    """The judgments of each question of a split, read from disk at each iteration.

    One question is in memory at a time; all are, if the rows of some question are not consecutive.
    """

    def __init__(self, folder: Path, split: Split) -> None:
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
        summary, seen = Summary(), set[int]()
        for number, items in enumerate(self._consecutive(), start=1):
            name = items[0].query.query_id.encode("utf-8", "replace")
            seen.add(int.from_bytes(blake2b(name, digest_size=8).digest(), "big"))
            if len(seen) < number:
                summary = Summary()
                for own in self._scattered():
                    summary.add(own)
                return True, summary
            summary.add(items)
        return False, summary


def validation_sample(questions: Iterable[Sequence[Example]], number: int, seed: int) -> list[Example]:
    """Draw whole questions that can be ranked, with documents of at least two grades.

    Args:
        questions: Each question's judgments; iterated twice.
        number: The most questions to draw.
        seed: The seed of the draw.
    """
    rankable = sum(map(_is_rankable, questions))
    chosen = frozenset(random.Random(seed).sample(range(rankable), min(number, rankable)))
    numbered = enumerate(filter(_is_rankable, questions))
    return [item for place, items in numbered if place in chosen for item in items]


def _is_rankable(items: Sequence[Example]) -> bool:
    return len({item.judgment.relevance for item in items}) > 1
