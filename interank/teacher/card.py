"""The dataset card of judgments: what they are, whose they are, and a picture of their grades."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCard

from interank import cards
from interank.explanations import FILE as EXPLANATIONS
from interank.judgments import PARQUET, Mark
from interank.teacher.explanations_card import section
from interank.types import GRADES, Example
from interank.wording import counted

PICTURE = "grades.svg"
_COLOURS = {"train": "#4477aa", "validation": "#ccbb44"}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BAR = 420, 190, 40, 20, 44
# What is made of such texts may be published under 4.0; version 1.0 and other licences do not allow that.
_SHARE_ALIKE = re.compile(r"CC[ -]BY-SA[ -](2\.0|2\.5|3\.0|4\.0)( (Unported|International))?", re.IGNORECASE)
_GRADE_NAMES = ("0 irrelevant", "1 partial", "2 relevant")


def picture(examples: Sequence[Example]) -> str:
    """A bar chart of the grades by split, as SVG."""
    counts = Counter((str(example.split), int(example.judgment.relevance)) for example in examples)
    highest = max(counts.values(), default=1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT + 40}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Judgments by grade and split">',
        f'<line x1="{_LEFT}" y1="{_HEIGHT}" x2="{_WIDTH - 10}" y2="{_HEIGHT}" stroke="#888"/>',
    ]
    for grade in range(len(GRADES)):
        start = _LEFT + 12 + grade * 120
        for place, split in enumerate(_COLOURS):
            number = counts[split, grade]
            height = round((_HEIGHT - _TOP) * number / highest)
            x = start + place * (_BAR + 4)
            parts.append(
                f'<rect x="{x}" y="{_HEIGHT - height}" width="{_BAR}" height="{height}" fill="{_COLOURS[split]}"/>'
            )
            parts.append(f'<text x="{x + _BAR / 2:g}" y="{_HEIGHT - height - 4}" text-anchor="middle">{number}</text>')
        middle = start + _BAR + 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT + 16}" text-anchor="middle">{_GRADE_NAMES[grade]}</text>')
    for place, (split, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 12 + place * 100
        parts.append(f'<rect x="{x}" y="{_HEIGHT + 24}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="{_HEIGHT + 33}">{split}</text>')
    return "\n".join([*parts, "</svg>", ""])


def card(
    examples: Sequence[Example],
    marks: Sequence[Mark],
    notes: Mapping[str, Any],
    decontamination: Mapping[str, Any] | None,
) -> DatasetCard:
    """Their card, by which `datasets.load_dataset` finds the splits."""
    splits = Counter(example.split for example in examples)
    files = [{"split": split, "path": name} for split, name in PARQUET.items() if splits[split] or split == "train"]
    unexplained = sum(not example.judgment.reasoning for example in examples)
    teacher = notes.get("teacher")
    explained = f" with the reason for it, written by `{teacher}` through interank" if teacher else ""
    lacking = f" {unexplained} of {len(examples)} have no explanation." if unexplained and explained else ""
    sections = [
        f"# Relevance judgments {'with' if explained else 'without'} explanations",
        "Questions, documents, and for each pair a grade (0 irrelevant, 1 partially relevant, 2 relevant)"
        f"{explained}.{lacking}",
        f"![Judgments by grade and split]({PICTURE})",
        _sites(examples),
        _making(marks, notes),
        *([section(notes["explanations"])] if "explanations" in notes else []),
        _decontaminated(decontamination),
        _licence(examples),
    ]
    configs: list[dict[str, Any]] = [{"config_name": "default", "data_files": files}]
    if "explanations" in notes:
        configs.append({"config_name": "explanations", "data_files": EXPLANATIONS})
    # Unknown licences stay unknown.
    about = {"license": "cc-by-sa-4.0"} if all(map(_is_share_alike, examples)) else {}
    return cards.dataset_card(sections, configs=configs, **about)


def _is_share_alike(example: Example) -> bool:
    return _SHARE_ALIKE.fullmatch(example.source.licence) is not None


def _sites(examples: Sequence[Example]) -> str:
    heads = ("site", "questions", "judgments", "train", "validation", *map(int, GRADES))
    rows: list[Sequence[object]] = []
    for site in sorted({example.source.site for example in examples}):
        own = [example for example in examples if example.source.site == site]
        questions = {example.query.query_id.partition("#")[0] for example in own}
        splits = Counter(example.split for example in own)
        grades = Counter(int(example.judgment.relevance) for example in own)
        counts = (len(questions), len(own), splits["train"], splits["validation"], *(grades[g] for g in range(3)))
        rows.append((site, *counts))
    return (
        "## What is in it\n\n"
        + cards.table(heads, rows)
        + ("\n\nThe split is by question, never by pair. `rejected.jsonl` has what got no judgment, with the reason.")
    )


def _making(marks: Sequence[Mark], notes: Mapping[str, Any]) -> str:
    if "teacher" not in notes:
        return f"## How it was made\n\n- Grades by {notes['grades']}; no model was asked."
    conflicting = sum(mark.conflict for mark in marks)
    paid = notes["dollars"]
    told = "" if paid is None else f", {paid:.2f} dollars at the recipe's price"
    lines = [
        f"- Teacher: `{notes['teacher']}` ({notes['teacher_origin']}), engine {notes['engine']}; "
        f"grades by {notes['grades']}; {notes['samples']} samples a pair.",
        f"- Prompt: {notes['prompt_hash']}; interank's `judging.py` words it.",
        f"- {conflicting} of {counted(len(marks), 'grade')} are the opposite of what votes and acceptance say (column "
        "`conflict`).",
        f"- Cost: {notes['tokens_read']} tokens read and {notes['tokens_written']} written" + told + ".",
    ]
    if "orderings" in notes:
        lists = notes["orderings"]
        lines.append(
            f"- Lists of a question's documents in the teacher's order with its reasoning (`orderings.jsonl`): "
            f"{lists['orderings']} with an nDCG@10 of at least {lists['min_ndcg']:g} by the grades; "
            f"{lists['rejected_orderings']} others are in `rejected_orderings.jsonl` with the reason."
        )
    if "stopped" in notes:
        lines.append(
            f"- Not whole: asking stopped at its budget ({notes['stopped']}); {notes['unanswered']} pairs "
            f"and {notes.get('orderings', {}).get('unanswered_orderings', 0)} lists wait."
        )
    return "## How it was made\n\n" + "\n".join(lines)


def _decontaminated(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        told = (
            "Not compared with any benchmark (`decontaminate: false`): what is trained on it must not be reported on "
            "benchmarks made of StackExchange posts, BRIGHT among them."
        )
    else:
        told = "See `decontamination.json`: " + cards.listed(summary) + "."
    return f"## Overlap with benchmarks\n\n{told}"


def _licence(examples: Sequence[Example]) -> str:
    licences = Counter(example.source.licence or "not told" for example in examples)
    told = ", ".join(f"{name} ({number})" for name, number in sorted(licences.items()))
    heading = f"## Licence\n\nLicences of the documents: {told}."
    if not any(map(_is_share_alike, examples)):
        return f"{heading} Publish this dataset, or one made of it, only where you know that you may."
    return (
        f"{heading}\n\n"
        "StackExchange posts are under CC BY-SA. Whoever publishes this dataset, or one made of it, has to name the "
        "author and link the post of each text (columns `author`, `url`), say that texts were cut and judged by a "
        "model, and publish it under CC BY-SA 4.0 or a licence that it names as compatible."
    )
