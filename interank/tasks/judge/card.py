"""The model card of a judge's adapter: its training data, its validation figures and its licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard

from interank import cards
from interank.judged_questions import Summary
from interank.tasks.protocol import CardFacts
from interank.tasks.sft_data import instructions_note
from interank.wording import counted

_FIGURES = {
    "eval_nDCG@10": "nDCG@10",
    "eval_grade_accuracy": "grade accuracy",
    "eval_mean_absolute_error": "mean absolute error",
    "eval_calibration_error": "calibration error",
}


def card(made: CardFacts, judgments: Mapping[str, Any], learned: Summary) -> ModelCard:
    """The card of a judge's adapter.

    Args:
        made: What the training made.
        judgments: The manifest of the judgments that were learned.
        learned: Their counts, sites and licences.
    """
    values = {name: cards.listed(made.recipe[name]) for name in ("loss", "prompt")}
    explains = not {"explain", "reason"}.isdisjoint(made.notes["modes"])
    taught = "a teacher's judgments" if judgments.get("teacher") else "labels"
    on = f"On the judgments of held-back questions, against {_truth(judgments)}."
    sections = [
        f"# A reranker that {'gives its reasons' if explains else 'grades'}",
        f"A LoRA adapter for `{made.base}`, distilled by interank from {taught}. It grades how much a "
        "document helps with a question: 0 irrelevant, 1 partially relevant, 2 relevant."
        + ("" if explains else " It is score-only: taught grades without explanations, it refuses to explain."),
        _use(made),
        _data(judgments, learned),
        cards.training_values(made.recipe, made.notes, mixture=cards.listed(made.notes["mixture"]), **values),
        cards.validation(made.history, made.pictures, _FIGURES, on),
        cards.licence(made.base, _posts(learned)),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "lora"], base=made.base)


def _truth(judgments: Mapping[str, Any]) -> str:
    return "the teacher's grades" if judgments.get("grades", "teacher") == "teacher" else "their grades"


def _use(made: CardFacts) -> str:
    modes = made.notes["modes"]
    uses = {
        "score": "`score`: the grade at once, read from the three labels' logits in one forward pass.",
        "explain": "`explain`: the same score, with a justification after it; what is written after a grade is not "
        "its cause.",
        "reason": "`reason`: an explanation first, and the grade that follows from it.",
        "queries": "`interank queries`: search queries for a first stage.",
    }
    lines = [f"- {uses[mode]}" for mode in modes]
    return (
        "## Use\n\n"
        + "\n".join(lines)
        + "\n\n```python\nfrom interank import Reranker\n\n"
        + f'reranker = Reranker("THIS FOLDER", mode="{modes[0] if modes[0] != "queries" else "score"}")\n```\n\n'
        + f"Prompt {made.notes['prompt_hash']}; another wording gives other scores. "
        + instructions_note(made.counts)
    ).strip()


def _data(judgments: Mapping[str, Any], learned: Summary) -> str:
    teacher = judgments.get("teacher")
    by = f"by `{teacher}`, grades" if teacher else "without a teacher, grades"
    unexplained = learned.unexplained
    lacking = f"; {unexplained} have no explanation and taught the grade alone" if unexplained else ""
    by += f" by {judgments.get('grades', 'not told')}"
    grades = ", ".join(f"{learned.grades[grade]} of grade {grade}" for grade in range(3))
    decontamination = judgments.get("decontamination")
    compared = (
        cards.listed(decontamination)
        if isinstance(decontamination, Mapping)
        else "not compared with any benchmark, so do not report on benchmarks made of the same posts"
    )
    return (
        "## Data\n\n"
        f"- {counted(learned.examples, 'judgment')} ({grades}) {by}{lacking}.\n"
        f"- From: {', '.join(sorted(learned.sites))}.\n"
        f"- Overlap with benchmarks: {compared}."
    )


def _posts(learned: Summary) -> str:
    licences = sorted(filter(None, learned.licences))
    if not licences:
        return "The judgments do not record their texts' licences."
    text = f"The texts that it learned from are under {', '.join(licences)}."
    if any(licence.upper().startswith("CC BY-SA") for licence in licences):
        text += (
            " StackExchange asks whoever passes on texts made of its posts to name their authors and to use the same "
            "licence."
        )
    return f"{text} The judgments' own card lists the sources."
