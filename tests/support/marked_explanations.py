"""Explanations of the rule's tiny texts with the program's marks, as `generate` would leave them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Workplace, create
from interank.explanations import ExplanationRow, Kind, Writer, write_explanations
from interank.judgments import write_judgments
from interank.settings import HeadSettings
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.types import Example, Split
from tests.support import explaining, rule
from tests.support.rule import ANIMALS, COLOURS

READING = HeadSettings(max_query_tokens=16, max_explanation_tokens=48, max_length=112)


def explanations_of(example: Example, rng: random.Random) -> list[ExplanationRow]:
    """One that is good, one that names nothing, and faults of it, each with the program's mark."""
    query, document = example.query.text, example.document.full_text
    asked, told = explaining.asked_for(query), explaining.told_of(document)
    other = (
        rng.choice([word for word in COLOURS if word not in (asked[0], told[0])]),
        rng.choice([word for word in ANIMALS if word not in (asked[1], told[1])]),
    )
    good = explaining.good(query, document)
    turned = good.replace("same", "\0").replace("other", "same").replace("\0", "other")
    texts: list[tuple[Writer, Kind, str]] = [
        ("teacher", "honest", good),
        ("student", "honest", explaining.poor(query, document)),
        ("program", "other_document", rule.spelled_out(asked, other)),
        ("program", "template", rule.reasoning(asked, asked)),
        ("program", "minimal_edit", turned),
        ("program", "padding", f"{good} {good} {good}"),
    ]
    grade = int(example.judgment.relevance)
    return [
        ExplanationRow(
            query_id=example.query.query_id,
            doc_id=example.document.doc_id,
            query=query,
            document=document,
            split=example.split,
            site="rule",
            relevance=grade,
            explanation=text,
            writer=writer,
            kind=kind,
            mark=worth,
            marks=(worth, worth),
            dropped=None,
            marked_by="program",
        )
        for writer, kind, text in texts
        for worth in [explaining.mark(query, document, grade, text)]
    ]


def explained_artifact(out: Path, examples: Sequence[Example], *, seed: int = 0, **changed: Any) -> Path:
    """Judgments with explanations of each; `changed` fields of these are."""
    rng = random.Random(seed)
    rows = [replace(row, **changed) for example in examples for row in explanations_of(example, rng)]
    return artifact_of(out, examples, rows)


def artifact_of(out: Path, examples: Sequence[Example], rows: Sequence[ExplanationRow]) -> Path:
    """An artifact of these judgments and explanations."""
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    write_explanations(rows, place.folder)
    notes = {"prompt_hash": judging.prompt_hash()}
    return place.finish(seed=0, counts={"judgments": len(examples)}, notes=notes).path


def judged(*, queries: int, held_out: int, seed: int = 0, documents: int = 4) -> list[Example]:
    """Judged pairs of training and of held-out questions."""
    parts: list[tuple[int, Split]] = [(queries, "train"), (held_out, "validation")]
    return [
        item
        for number, split in parts
        for item in rule.examples(seed, queries=number, documents=documents, split=split)
    ]


def recipe_of(student: Path, judgments: Path, **more: Any) -> RewardModelRecipe:
    """A short training on a tiny model."""
    content = {
        "stage": "reward",
        "judgments": judgments,
        "student": str(student),
        "encoding": READING,
        "lora": {"rank": 4, "alpha": 8},
        "trainer": {
            "max_steps": 2,
            "per_device_train_batch_size": 4,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "logging_steps": 1,
        },
        **more,
    }
    return RewardModelRecipe.model_validate(content)
