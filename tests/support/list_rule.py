"""A rule over lists: the document that names the animal asked for helps, one of its colour helps a little."""

from __future__ import annotations

import random
from collections.abc import Iterator

from interank import ordering
from interank.ordering import Ordering
from interank.orderings import ListExample
from interank.types import Document, Example, Judgment, Query, Relevance, Source, Split
from tests.support.rule import ANIMALS

SIZE = 5
_SOURCE = Source("rule", "0", "", "", "")


def query_text(animal: str) -> str:
    return f"Where is the {animal}?"


def animals(rng: random.Random, size: int = SIZE) -> tuple[str, list[str]]:
    """The animal asked for, and those of the documents, of which one is it."""
    found = rng.sample(ANIMALS, size)
    return rng.choice(found), found


def reasoning(asked: str, found: list[str]) -> str:
    return f"The {asked} is in [{found.index(asked) + 1}]."


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
            yield f"The {animal} is in [{place + 1}]."
            yield ordering.answer(list(range(SIZE))[::-1], f"The {animal} is in [{place + 1}].")
    yield ordering.render("", [""] * SIZE)[0]["content"]
