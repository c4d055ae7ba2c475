"""A rule over lists: of several documents that name an animal each, the one that names the fox helps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from interank.tasks.order import ordering
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.types import Document, Example, Judgment, Query, Relevance, Source, Split
from tests.support.rule import ANIMALS

SIZE = 5
ASKED = ANIMALS[0]
_SOURCE = Source("rule", "0", "", "", "")


def query_text(animal: str) -> str:
    return f"Where is the {animal}?"


def animals(rng: random.Random, size: int = SIZE) -> tuple[str, list[str]]:
    """The animal asked for, always the same, and those of the documents, of which one is it."""
    found = [ASKED, *rng.sample([animal for animal in ANIMALS if animal != ASKED], size - 1)]
    rng.shuffle(found)
    return ASKED, found


def reasoning(asked: str, found: list[str]) -> str:
    return f"See {asked}{found.index(asked) + 1}."


def best_order(asked: str, found: list[str]) -> list[int]:
    """The document with the animal, then the others as they stand."""
    place = found.index(asked)
    return [place, *(other for other in range(len(found)) if other != place)]


def example(rng: random.Random, name: str, split: Split = "train") -> tuple[list[Example], ListExample]:
    """A query's judged documents, and the same in the best order."""
    asked, found = animals(rng)
    query = Query(name, query_text(asked))
    documents = [Document(f"{name}-{place}", animal) for place, animal in enumerate(found)]
    judged = [
        Example(
            query,
            document,
            Judgment("So.", Relevance.RELEVANT if animal == asked else Relevance.IRRELEVANT),
            None,
            split,
            _SOURCE,
        )
        for document, animal in zip(documents, found, strict=True)
    ]
    order = Ordering(tuple(best_order(asked, found)), reasoning(asked, found))
    return judged, ListExample(query, tuple(documents), order, split)


def dealt_out_anew(lists: list[ListExample], seed: int) -> list[ListExample]:
    """The lists in orders that have nothing to do with what they hold."""
    rng = random.Random(seed)
    orders = [tuple(rng.sample(range(SIZE), SIZE)) for _ in lists]
    dealt = zip(lists, orders, strict=True)
    return [replace(item, ordering=replace(item.ordering, positions=order)) for item, order in dealt]


def examples(seed: int, *, queries: int, split: Split = "train") -> tuple[list[Example], list[ListExample]]:
    rng = random.Random(seed)
    made = [example(rng, f"{split}{seed}-{number}", split) for number in range(queries)]
    return [item for judged, _ in made for item in judged], [ordered for _, ordered in made]


def all_texts() -> Iterator[str]:
    """What a tokenizer should know."""
    for animal in ANIMALS:
        yield query_text(animal)
        yield f" {animal}"
        for place in range(SIZE):
            yield ordering.answer(list(range(SIZE))[::-1], f"See {animal}{place + 1}.")
    yield ordering.render("", [""] * SIZE)[0]["content"]
