"""Cards of adapters, models and data sets: metadata and sections in the form that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CardData, DatasetCard, DatasetCardData, ModelCard, ModelCardData

from interank import redaction
from interank.resources import hub_name

# Markdown's signs for links, images and code, the cell separator, and the backslash that would undo their escapes.
_MARKS = re.compile(r"[\[\]`|\\]")
# The `&` of an entity, as in `&lt;`.
_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
# The `<` of a tag or an autolink; any other, as in `<.001`, is harmless.
_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
# The terms of well-known bases' licences for those who pass on a derived model.
_TERMS = {
    "llama": (
        "The base is under Meta's Llama community licence: pass a copy of it on with the adapter, say \"Built with "
        "Llama\", and let the adapter's name begin with Llama."
    ),
    "gemma": "The base is under the Gemma terms of use, whose restrictions apply to everyone who gets the adapter.",
}


def model_card(sections: Iterable[str], *, library: str, tags: Sequence[str], base: str | None = None) -> ModelCard:
    """The card of a reranker; `base` is the base model of an adapter, a hub's name or a path."""
    base_name = None if base is None else hub_name(base)[0]
    metadata = ModelCardData(
        base_model=base_name, library_name=library, pipeline_tag="text-ranking", tags=[*tags, "interank"]
    )
    return ModelCard(_written(metadata, sections))


def dataset_card(sections: Iterable[str], **metadata: Any) -> DatasetCard:
    """The card of a data set; the metadata are fields such as `license` and `configs`."""
    return DatasetCard(_written(DatasetCardData(**metadata), sections))


def save_card(card: ModelCard | DatasetCard, folder: Path) -> None:
    """Write a card where the hub looks for it."""
    card.save(folder / "README.md")


def _written(metadata: CardData, sections: Iterable[str]) -> str:
    return "\n\n".join([f"---\n{metadata.to_yaml()}\n---", *sections]) + "\n"


def table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [[cell(each) for each in row] for row in (heads, *rows)]
    lines.insert(1, ["---"] * len(heads))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(value: object) -> str:
    """A value as a table's cell, escaped."""
    return name(str(value))


def name(text: str) -> str:
    """A name from outside, for a sentence or a cell: in one line, with Markdown and HTML escaped."""
    line = _ENTITY.sub("&amp;", " ".join(redaction.shown(text).split()))
    return _TAG.sub("&lt;", _MARKS.sub(r"\\\g<0>", line))


def values(rows: Mapping[str, object]) -> str:
    """A table of names and values."""
    return table(("", ""), rows.items())


def training_values(recipe: Mapping[str, Any], notes: Mapping[str, Any], **more: object) -> str:
    """The section on an adapter's training: `more` values, then base weights, LoRA, trainer and seed of any recipe."""
    lora = dict(recipe["lora"])
    targets = lora.pop("targets")
    common = {
        "base weights": notes["base_weights"],
        "device": notes["device"],
        "LoRA": listed({name: value for name, value in lora.items() if value is not None}),
        "adapted layers": ", ".join(targets or ("all linear layers but the head",)),
        "trainer": listed(recipe["trainer"]) or "interank's defaults",
        "seed": recipe["seed"],
    }
    return f"## Training\n\n{values({**more, **common})}"


def listed(settings: Mapping[str, object]) -> str:
    """Names and values with commas between them."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def validation(
    history: Iterable[Mapping[str, float]], pictures: Iterable[str], figures: Mapping[str, str], on: str
) -> str:
    """The section on a training's trials: a table of the `figures` by their heads, and `on`, a sentence on the data."""
    trials = {int(row["step"]): row for row in history if all(name in row for name in figures)}
    if not trials:
        return "## Validation\n\nNothing was tried while it trained: the last step's adapter was kept."
    rows = ([step, *(f"{row[name]:.4f}" for name in figures)] for step, row in sorted(trials.items()))
    text = f"{on} Of the later steps the one with the best nDCG@10 was kept; step 0 is the student as it was before."
    parts = ["## Validation", table(("step", *figures.values()), rows), text, shown(pictures)]
    return "\n\n".join(filter(None, parts))


def shown(pictures: Iterable[str]) -> str:
    """Links to the pictures beside the card, a paragraph each."""
    return "\n\n".join(f"![{name}]({name})" for name in pictures)


def licence(base: str, *more: str) -> str:
    """The section on the licence: the base's terms for those who pass the model on, and `more` paragraphs."""
    terms = [text for name, text in _TERMS.items() if name in base.lower()] or ["See the base model's own licence."]
    return "\n\n".join(["## Licence", *terms, *more])
