"""The model card of an adapter: what it is made of, how it did, and under which terms it may be passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interank.types import Example

# What the licences of well-known bases ask of whoever passes on what was made of them.
_TERMS = {
    "llama": (
        "The base is under Meta's Llama community licence: pass a copy of it on with the adapter, say \"Built with "
        "Llama\", and let the adapter's name begin with Llama."
    ),
    "gemma": "The base is under the Gemma terms of use, whose restrictions go over to whoever gets the adapter.",
}
_FIGURES = {
    "eval_nDCG@10": "nDCG@10",
    "eval_grade_accuracy": "grade accuracy",
    "eval_mean_absolute_error": "mean absolute error",
    "eval_calibration_error": "calibration error",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card tells."""

    base: str
    notes: Mapping[str, Any]
    """Those of the adapter's manifest."""
    recipe: Mapping[str, Any]
    judgments: Mapping[str, Any]
    """The manifest of the judgments that were learned."""
    examples: Sequence[Example]
    history: Sequence[Mapping[str, float]]
    pictures: Sequence[str]


def card(facts: Facts) -> str:
    """README.md in the form that the Hugging Face hub reads."""
    sections = [
        f"---\nbase_model: {facts.base}\nlibrary_name: peft\npipeline_tag: text-ranking\n"
        "tags:\n- reranker\n- lora\n- interank\n---",
        "# A reranker that gives its reasons",
        f"A LoRA adapter for `{facts.base}`, distilled by interank from a teacher's judgments. It grades how much a "
        "document helps with a question: 0 irrelevant, 1 partially relevant, 2 relevant.",
        _use(facts),
        _data(facts),
        _making(facts),
        validation_table(
            facts.history,
            facts.pictures,
            _FIGURES,
            "On the judgments of held-back questions, against the teacher's grades.",
        ),
        _terms(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _use(facts: Facts) -> str:
    modes = facts.notes["modes"]
    told = {
        "score": "`score`: the grade at once, read from the three labels' logits in one forward pass.",
        "explain": "`explain`: the same score, with a justification after it; what is written after a grade is not "
        "its cause.",
        "reason": "`reason`: an explanation first, and the grade that follows from it.",
        "queries": "`interank queries`: search queries for a first stage.",
    }
    lines = [f"- {told[mode]}" for mode in modes]
    return (
        "## Use\n\n"
        + "\n".join(lines)
        + "\n\n```python\nfrom interank import Reranker\n\n"
        + f'reranker = Reranker("THIS FOLDER", mode="{modes[0] if modes[0] != "queries" else "score"}")\n```\n\n'
        + f"Prompt {facts.notes['prompt_hash']}; another wording gives other scores."
    )


def _data(facts: Facts) -> str:
    grades = Counter(int(item.judgment.relevance) for item in facts.examples)
    sites = sorted({item.source.site for item in facts.examples})
    teacher = facts.judgments.get("teacher", "not told")
    decontamination = facts.judgments.get("decontamination")
    compared = (
        ", ".join(f"{name} {value}" for name, value in decontamination.items())
        if isinstance(decontamination, Mapping)
        else "not compared with any benchmark, so do not report on benchmarks made of the same posts"
    )
    return (
        "## Data\n\n"
        f"- {len(facts.examples)} judgments ({', '.join(f'{grades[g]} of grade {g}' for g in range(3))}) by "
        f"`{teacher}`, grades by {facts.judgments.get('grades', 'not told')}.\n"
        f"- From: {', '.join(sites)}.\n"
        f"- Overlap with benchmarks: {compared}."
    )


def _making(facts: Facts) -> str:
    recipe = facts.recipe
    lora = dict(recipe["lora"])
    targets = lora.pop("targets")
    rows = {
        "base weights": facts.notes["base_weights"],
        "device": facts.notes["device"],
        "LoRA": ", ".join(f"{name} {value}" for name, value in lora.items() if value is not None),
        "adapted layers": ", ".join(targets or ("all linear layers but the head",)),
        "mixture": ", ".join(f"{name} {value}" for name, value in facts.notes["mixture"].items()),
        "loss": ", ".join(f"{name} {value}" for name, value in recipe["loss"].items()),
        "prompt": ", ".join(f"{name} {value}" for name, value in recipe["prompt"].items()),
        "trainer": ", ".join(f"{name} {value}" for name, value in recipe["trainer"].items()) or "interank's defaults",
        "seed": recipe["seed"],
    }
    return f"## Training\n\n{table(rows)}"


def table(rows: Mapping[str, Any]) -> str:
    """Names and values side by side."""
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def validation_table(
    history: Sequence[Mapping[str, float]], pictures: Sequence[str], figures: Mapping[str, str], on: str
) -> str:
    """The trials of a training, each figure under its name, and what they were `on`."""
    trials = {int(row["step"]): row for row in history if all(name in row for name in figures)}
    if not trials:
        return "## Validation\n\nNothing was tried while it trained: the last step's adapter was kept."
    lines = [f"| {' | '.join(['step', *figures.values()])} |", "|---" * (1 + len(figures)) + "|"]
    for step, row in sorted(trials.items()):
        lines.append(f"| {' | '.join([str(step), *(f'{row[name]:.4f}' for name in figures)])} |")
    shown = "".join(f"\n\n![{name}]({name})" for name in pictures)
    return (
        "## Validation\n\n"
        + "\n".join(lines)
        + f"\n\n{on} The best nDCG@10 was kept; step 0 is the untrained student."
        + shown
    )


def base_terms(base: str) -> list[str]:
    """What the base's licence asks of whoever passes on what was made of it."""
    return [text for name, text in _TERMS.items() if name in base.lower()] or ["See the base model's own licence."]


def _terms(facts: Facts) -> str:
    licences = sorted({item.source.licence for item in facts.examples if item.source.licence})
    posts = (
        f"The posts that it learned from are under {', '.join(licences)}; StackExchange asks whoever passes on texts "
        "made of them to name their authors and to use the same licence. The judgments' own card lists the sources."
        if licences
        else "The judgments do not tell their texts' licences."
    )
    return "## Licence\n\n" + "\n\n".join([*base_terms(facts.base), posts])
