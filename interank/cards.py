"""Cards of adapters, models and data sets: metadata and sections in the form that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CardData, DatasetCard, DatasetCardData, ModelCard, ModelCardData

from interank import redaction
from interank.resources import hub_name

# What begins links, pictures and code, parts cells, and takes a mark's meaning away, that of the one before these too.
_MARKS = re.compile(r"[\[\]`|\\]")
# What begins a sign by its name or number, as `&lt;` does.
_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
# What begins a tag or an address; one before anything else, as in `<.001`, is read as it is.
_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
# What the licences of well-known bases ask of whoever passes on what was made of them.
_TERMS = {
    "llama": (
        "The base is under Meta's Llama community licence: pass a copy of it on with the adapter, say \"Built with "
        "Llama\", and let the adapter's name begin with Llama."
    ),
    "gemma": "The base is under the Gemma terms of use, whose restrictions go over to whoever gets the adapter.",
}


def model_card(sections: Iterable[str], *, library: str, tags: Sequence[str], base: str | None = None) -> ModelCard:
    """The card of a reranker; `base` is what an adapter stands on, a hub's name or a path."""
    named = None if base is None else hub_name(base)[0]
    about = ModelCardData(base_model=named, library_name=library, pipeline_tag="text-ranking", tags=[*tags, "interank"])
    return ModelCard(_written(about, sections))


def dataset_card(sections: Iterable[str], **about: Any) -> DatasetCard:
    """The card of a data set; `about` is its metadata, `license` and `configs` say."""
    return DatasetCard(_written(DatasetCardData(**about), sections))


def save_card(card: ModelCard | DatasetCard, folder: Path) -> None:
    """Write a card where the hub looks for it."""
    card.save(folder / "README.md")


def _written(about: CardData, sections: Iterable[str]) -> str:
    return "\n\n".join([f"---\n{about.to_yaml()}\n---", *sections]) + "\n"


def table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells under their heads."""
    lines = [[cell(each) for each in row] for row in (heads, *rows)]
    lines.insert(1, ["---"] * len(heads))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(value: object) -> str:
    """A value that stays in its cell and is read as it is."""
    return name(str(value))


def name(text: str) -> str:
    """A name that others gave, in a sentence or a cell: in one line, with nothing that Markdown or HTML reads."""
    line = _ENTITY.sub("&amp;", " ".join(redaction.shown(text).split()))
    return _TAG.sub("&lt;", _MARKS.sub(r"\\\g<0>", line))


def values(rows: Mapping[str, object]) -> str:
    """Names and values side by side."""
    return table(("", ""), rows.items())


def training_values(recipe: Mapping[str, Any], notes: Mapping[str, Any], **told: object) -> str:
    """What an adapter was trained with: what is `told`, then base weights, LoRA, trainer and seed of any recipe."""
    lora = dict(recipe["lora"])
    targets = lora.pop("targets")
    made = {
        "base weights": notes["base_weights"],
        "device": notes["device"],
        "LoRA": listed({name: value for name, value in lora.items() if value is not None}),
        "adapted layers": ", ".join(targets or ("all linear layers but the head",)),
        "trainer": listed(recipe["trainer"]) or "interank's defaults",
        "seed": recipe["seed"],
    }
    return f"## Training\n\n{values({**told, **made})}"


def listed(settings: Mapping[str, object]) -> str:
    """Names and values in a row."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def validation(
    history: Iterable[Mapping[str, float]], pictures: Iterable[str], figures: Mapping[str, str], on: str
) -> str:
    """The trials of a training, each of the `figures` under its name, and what they were `on`."""
    trials = {int(row["step"]): row for row in history if all(name in row for name in figures)}
    if not trials:
        return "## Validation\n\nNothing was tried while it trained: the last step's adapter was kept."
    rows = ([step, *(f"{row[name]:.4f}" for name in figures)] for step, row in sorted(trials.items()))
    found = table(("step", *figures.values()), rows)
    told = f"{on} Of the later steps the one with the best nDCG@10 was kept; step 0 is the student as it was before."
    return "\n\n".join(["## Validation", found, told, *filter(None, [shown(pictures)])])


def shown(pictures: Iterable[str]) -> str:
    """The pictures that lie beside the card, each by itself."""
    return "\n\n".join(f"![{name}]({name})" for name in pictures)


def licence(base: str, *more: str) -> str:
    """What the base's licence asks of whoever passes on what was made of it, and what `more` there is to say."""
    terms = [text for name, text in _TERMS.items() if name in base.lower()] or ["See the base model's own licence."]
    return "\n\n".join(["## Licence", *terms, *more])
