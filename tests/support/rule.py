"""A relevance rule over tiny texts that needs both of them: is it the animal and the colour asked for?"""

from __future__ import annotations

import random
from collections.abc import Iterator

from interank.types import Document, Example, Judgment, Query, Relevance, Source, Split

ANIMALS = ("fox", "owl", "cat", "hen", "bee", "ant", "cow", "pig")
COLOURS = ("red", "blue", "green", "black", "white", "pink")
_SOURCE = Source("rule", "0", "", "", "")


def query_text(colour: str, animal: str) -> str:
    return f"Where is the {colour} {animal}?"


def document_text(colour: str, animal: str, place: str) -> str:
    return f"A {colour} {animal} sits in the {place}."


PLACES = ("barn", "wood", "house", "field")


def judge(query: tuple[str, str], document: tuple[str, str]) -> Judgment:
    """Grade 2 if colour and animal agree, 1 if one does, 0 if none."""
    same = [q == d for q, d in zip(query, document, strict=True)]
    return Judgment(reasoning(query, document), Relevance(sum(same)))


def reasoning(query: tuple[str, str], document: tuple[str, str]) -> str:
    """In what both texts agree."""
    colour, animal = ("same" if q == d else "other" for q, d in zip(query, document, strict=True))
    return f"{colour} colour, {animal} animal."


def spelled_out(query: tuple[str, str], document: tuple[str, str]) -> str:
    """What both texts say, and in what they agree."""
    return f"Asked {' '.join(query)}, found {' '.join(document)}: {reasoning(query, document)}"


def group(rng: random.Random, name: str, *, documents: int, split: Split) -> list[Example]:
    """A query with documents of all three grades, mostly irrelevant, in random order."""
    colour, animal = rng.choice(COLOURS), rng.choice(ANIMALS)
    examples = []
    for place in range(documents):
        same = ((True, True), (True, False), (False, True))[place] if place < 3 else (False, False)
        document = (
            colour if same[0] else rng.choice([c for c in COLOURS if c != colour]),
            animal if same[1] else rng.choice([a for a in ANIMALS if a != animal]),
        )
        examples.append((document, judge((colour, animal), document)))
    rng.shuffle(examples)
    query = Query(name, query_text(colour, animal))
    return [
        Example(
            query,
            Document(f"{name}-{place}", document_text(*document, rng.choice(PLACES))),
            judgment,
            None,
            split,
            _SOURCE,
        )
        for place, (document, judgment) in enumerate(examples)
    ]


def examples(seed: int, *, queries: int, documents: int = 12, split: Split = "train") -> list[Example]:
    """Judged pairs of `queries` queries."""
    rng = random.Random(seed)
    return [
        example
        for number in range(queries)
        for example in group(rng, f"{split}{seed}-{number}", documents=documents, split=split)
    ]


def all_texts() -> Iterator[str]:
    for colour in COLOURS:
        for animal in ANIMALS:
            yield query_text(colour, animal)
            for place in PLACES:
                yield document_text(colour, animal, place)
            for other in (animal, "mouse"):
                yield spelled_out((colour, animal), (colour, other))
                yield spelled_out((colour, animal), ("grey", other))
