"""The model card of an adapter that orders lists: what it learned, and how it is used."""

from __future__ import annotations

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.protocol import Made
from interank.tasks.written import told_of_instructions


def card(made: Made) -> ModelCard:
    """The card of an adapter."""
    settings = made.notes["prompt"]
    thinks = "thinks before it ranks" if settings["form"] == "reason" else "ranks at once"
    sections = [
        "# A reranker that orders lists",
        f"A LoRA adapter for `{made.base}`, distilled by interank. It reads a query and a window of documents, "
        f"{thinks} and names them, the most helpful first.",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="listwise")\n```\n\n'
        f"Prompt {made.notes['prompt_hash']}; another wording gives other orders. "
        f"{told_of_instructions(made.counts)}".strip(),
        f"## Data\n\n{made.counts['rows']} lists.",
        cards.training_values(made.recipe, made.notes, prompt=cards.listed(settings)),
        *([f"## Training\n\n{pictures}"] if (pictures := cards.shown(made.pictures)) else []),
        cards.licence(made.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "lora"], base=made.base)
