"""The card of a reward model: its marks, its figures on held-out questions, and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.protocol import CardFacts
from interank.wording import counted

_NONE = "-"


def reward_card(made: CardFacts, report: Mapping[str, Any], source: str) -> ModelCard:
    """The card of a reward model trained on the judgments `source`, with the figures of `report`."""
    sections = [
        "# A reward model of explanations",
        f"A LoRA adapter and a head of one logit for `{made.base}`, trained by interank. It reads a question, a "
        "document and an explanation of how much the document helps, and a higher score is a better explanation; "
        "scores compare the explanations of one document.",
        "## Use\n\nIn a recipe of `interank rl`, for a policy on the same base, whose weights it shares:\n\n"
        "```yaml\nrewards:\n  - {use: explanation_quality, params: {model: THIS FOLDER}}\n```\n\n"
        + cards.values(made.notes["head"]),
        "## Data\n\n" + _data(made, source),
        cards.training_values(made.recipe, made.notes, **_settings(made)),
        _figures(report),
        *filter(None, [cards.shown(made.pictures)]),
        cards.licence(made.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reward-model", "lora"], base=made.base)


def _data(made: CardFacts, source: str) -> str:
    counts, notes = made.counts, made.notes
    text = (
        f"{counts['pairs']} pairs of {counts['explanations']} explanations of {counts['questions']} questions of "
        f"`{source}`, marked by {', '.join(notes['marked_by'])}."
    )
    if notes["made_marks_alone"]:
        text += (
            " Nobody read them: a mark says whether a fault was put into the explanation, so the model learns to "
            "tell those faults from unspoilt explanations, and no more."
        )
    if notes["left_out"]:
        text += f" Not trained on: {', '.join(notes['left_out'])}."
    return text


def _settings(made: CardFacts) -> dict[str, Any]:
    recipe = made.recipe
    return {"loss": "TRL's RewardTrainer", "margin": f"{recipe['margin']} logits for a mark's whole range"}


def _figures(report: Mapping[str, Any]) -> str:
    if not report["pairs"]:
        return "## Held-out questions\n\nNone had two explanations to compare, so how well it marks is not known."
    heads, *rows = compared(report)
    style, length, calibrated = report["style"], report["length_correlation"], report["calibration"]
    more = {
        "a teacher's above a student's": _in_words(style["teacher_above_student"]),
        "the same, of equal marks": _in_words(style["of_equal_marks"]),
        "rho of scores and lengths": _in_words(length["trained"]),
        "rho of marks and lengths": _in_words(length["marks"]),
        "calibration error": _in_words({**calibrated, "mean": calibrated["expected_error"]}),
        "mean confidence": f"{calibrated['confidence']:.3f}",
    }
    return "\n\n".join(
        [
            "## Held-out questions",
            f"Share of {counted(report['pairs'], 'pair')} of {counted(report['questions'], 'question')} in which the "
            "better mark has the higher score, with 95% intervals over questions. A kind of fault is compared with "
            "honest explanations of the same document that have the better mark.",
            cards.table(heads, rows),
            cards.values(more),
        ]
    )


def compared(report: Mapping[str, Any]) -> list[list[str]]:
    """The table of held-out pairs: its head, then a row for all pairs and for each kind of fault."""
    names = list(report["accuracy"])
    rows = [["all", *_cells(report["accuracy"], names)], ["of one length", *_cells(report["length_matched"], names)]]
    rows += [
        [f"{kind}{' (not trained on)' if shares['left_out'] else ''}", *_cells(shares, names)]
        for kind, shares in report["by_kind"].items()
    ]
    return [["pairs", *names], *rows]


def _cells(shares: Mapping[str, Any], names: list[str]) -> list[str]:
    return [_in_words(shares.get(name)) for name in names]


def _in_words(share: Mapping[str, Any] | None) -> str:
    if share is None:
        return _NONE
    if share["low"] is None:
        return f"{share['mean']:.3f}"
    return f"{share['mean']:.3f} ({share['low']:.3f} to {share['high']:.3f})"
