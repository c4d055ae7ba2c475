"""Attacks that try to talk a judge into a better grade: hand-written templates, and documents that carry them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, get_args

from interank.errors import InputError
from interank.resources import resource_dir
from interank.types import Document, Example, Query, Relevance
from interank.wording import listed

Part = Literal["practice", "held_out", "control"]
"""Training may see `practice` alone; `held_out` is for measuring; `control` is harmless text as long as an attack."""

_SLOT = re.compile(r"\{(document|opening|rest|query)\}")
_KEYS = ("name", "family", "language", "part", "text")
# An attack inside a document stands behind this many of its words, so early that no length limit cuts it off.
_OPENING_WORDS = 20


@dataclass(frozen=True, slots=True)
class Template:
    """An attack with slots for the document (`{document}`, or `{opening}` and `{rest}`) and, perhaps, `{query}`."""

    name: str
    family: str
    language: str
    part: Part
    text: str


@cache
def attack_templates() -> tuple[Template, ...]:
    """All templates that come with interank, controls included.

    Raises:
        InputError: A line of the file is no template.
    """
    file = resource_dir("data") / "attacks" / "templates.jsonl"
    templates = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        row = json.loads(line)
        if set(row) != set(_KEYS) or row["part"] not in get_args(Part):
            raise InputError(
                f"{file}:{number} has the keys {listed(sorted(row))}, where {listed(_KEYS)} are needed; mend the line"
            )
        templates.append(Template(**row))
    return tuple(templates)


def planted(template: Template, query: Query, document: Document) -> Document:
    """A copy of the document with the attack in its text and the template's name in its id."""
    words = document.text.split(" ")
    parts = {
        "document": document.text,
        "opening": " ".join(words[:_OPENING_WORDS]),
        "rest": " ".join(words[_OPENING_WORDS:]),
        "query": query.text,
    }
    # In one pass, so that a slot's name in a query or a document is not filled.
    text = _SLOT.sub(lambda slot: parts[slot[1]], template.text)
    return replace(document, doc_id=f"{document.doc_id}#{template.name}", text=text)


def with_attacked(examples: Iterable[Example], share: float, seed: int) -> list[Example]:
    """The examples; a share of the irrelevant ones is followed by a copy whose document carries an attack.

    The copy stays irrelevant and keeps the teacher's explanation and probabilities. Attacks are drawn from those for
    practice, so that the others can measure what was learned.
    """
    practice = [template for template in attack_templates() if template.part == "practice"]
    shown: list[Example] = []
    for example in examples:
        shown.append(example)
        rng = random.Random(f"{seed} {example.query.query_id} {example.document.doc_id}")
        if example.judgment.relevance == Relevance.IRRELEVANT and rng.random() < share:
            document = planted(rng.choice(practice), example.query, example.document)
            shown.append(replace(example, document=document))
    return shown
