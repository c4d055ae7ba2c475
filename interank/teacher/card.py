"""The dataset card of judgments: contents, origin, licences and a chart of the grades."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCard

from interank import cards
from interank.explanations import FILE as EXPLANATIONS
from interank.judgments import PARQUET
from interank.teacher.explanations_card import section
from interank.teacher.tally import Tally
from interank.types import GRADES
from interank.wording import counted

PICTURE = "grades.svg"
_COLOURS = {"train": "#4477aa", "validation": "#ccbb44"}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BAR = 420, 190, 40, 20, 44
# Works made of texts under these licences may be published under 4.0; version 1.0 and other licences forbid that.
_SHARE_ALIKE = re.compile(r"CC[ -]BY-SA[ -](2\.0|2\.5|3\.0|4\.0)( (Unported|International))?", re.IGNORECASE)
_GRADE_NAMES = ("0 irrelevant", "1 partial", "2 relevant")


def picture(tally: Tally) -> str:
    """A bar chart of the grades by split, as SVG."""
    counts = tally.grades
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
    tally: Tally,
    notes: Mapping[str, Any],
    decontamination: Mapping[str, Any] | None,
) -> DatasetCard:
    """The judgments' card, whose configs tell `datasets.load_dataset` the splits."""
    files = [
        {"split": split, "path": name} for split, name in PARQUET.items() if tally.of_split(split) or split == "train"
    ]
    explained = tally.unexplained < tally.judgments
    lacking = f" {tally.unexplained} of {tally.judgments} have no explanation." if tally.unexplained else ""
    sections = [
        f"# Relevance judgments {'with' if explained else 'without'} explanations",
        "Questions, documents, and for each pair a grade (0 irrelevant, 1 partially relevant, 2 relevant)"
        + (f" with the reason for it{_writer(notes)}.{lacking}" if explained else "."),
        f"![Judgments by grade and split]({PICTURE})",
        _sites(tally),
        _making(tally, notes),
        *([section(notes["explanations"])] if "explanations" in notes else []),
        _decontaminated(decontamination),
        _licence(tally),
    ]
    configs: list[dict[str, Any]] = [{"config_name": "default", "data_files": files}]
    if "explanations" in notes:
        configs.append({"config_name": "explanations", "data_files": EXPLANATIONS})
    # The card names a licence only if the licence of every text allows it.
    about = {"license": "cc-by-sa-4.0"} if all(map(_is_share_alike, tally.licences)) else {}
    return cards.dataset_card(sections, configs=configs, **about)


def _writer(notes: Mapping[str, Any]) -> str:
    teacher = notes.get("teacher")
    if teacher is None:
        return ""
    # Grades that were given may have come with their reasons.
    return f", which `{teacher}` wrote " + (
        "where there was none" if notes["grades"] == "given" else "through interank"
    )


def _is_share_alike(licence: str) -> bool:
    return _SHARE_ALIKE.fullmatch(licence) is not None


def _sites(tally: Tally) -> str:
    heads = ("site", "questions", "judgments", "train", "validation", *map(int, GRADES))
    rows: list[Sequence[object]] = []
    for name, site in sorted(tally.sites.items()):
        by_split = (site.splits["train"], site.splits["validation"])
        grades = (site.grades[grade] for grade in range(3))
        rows.append((name, len(site.questions), site.splits.total(), *by_split, *grades))
    return (
        "## What is in it\n\n"
        + cards.table(heads, rows)
        + ("\n\nThe split is by question, never by pair. `rejected.jsonl` has what got no judgment, with the reason.")
    )


def _making(tally: Tally, notes: Mapping[str, Any]) -> str:
    if "teacher" not in notes:
        return f"## How it was made\n\n- Grades by {notes['grades']}; no model was asked."
    paid = notes["dollars"]
    price = "" if paid is None else f", {paid:.2f} dollars at the recipe's price"
    lines = [
        f"- Teacher: `{notes['teacher']}` ({notes['teacher_origin']}), engine {notes['engine']}; "
        f"grades by {notes['grades']}; {notes['samples']} samples a pair.",
        f"- Prompt: {notes['prompt_hash']}; interank's `judging.py` words it.",
        f"- {tally.conflicts} of {counted(tally.judgments, 'grade')} are the opposite of what votes and acceptance "
        "say (column `conflict`).",
        f"- Cost: {notes['tokens_read']} tokens read and {notes['tokens_written']} written{price}.",
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
            f"- Incomplete: the budget was used up ({notes['stopped']}); {notes['unanswered']} pairs "
            f"and {notes.get('orderings', {}).get('unanswered_orderings', 0)} lists are not judged."
        )
    return "## How it was made\n\n" + "\n".join(lines)


def _decontaminated(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        text = (
            "Not compared with any benchmark (`decontaminate: false`): what is trained on it must not be reported on "
            "benchmarks made of StackExchange posts, BRIGHT among them."
        )
    else:
        text = "See `decontamination.json`: " + cards.listed(summary) + "."
    return f"## Overlap with benchmarks\n\n{text}"


def _licence(tally: Tally) -> str:
    licences = {name or "not told": number for name, number in tally.licences.items()}
    names = ", ".join(f"{cards.name(name)} ({number})" for name, number in sorted(licences.items()))
    heading = f"## Licence\n\nLicences of the documents: {names}."
    if not any(map(_is_share_alike, tally.licences)):
        return f"{heading} Publish this dataset, or one made of it, only where you know that you may."
    return (
        f"{heading}\n\n"
        "StackExchange posts are under CC BY-SA. Whoever publishes this dataset, or one made of it, has to name the "
        "author and link the post of each text (columns `author`, `url`), say that texts were cut and judged by a "
        "model, and publish it under CC BY-SA 4.0 or a licence that it names as compatible."
    )
