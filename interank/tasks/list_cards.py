"""The model card of an adapter that reads windows of documents: what it learned, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.protocol import Made
from interank.tasks.sft_data import told_of_instructions


def card_of_windows(
    made: Made, *, title: str, does: str, wrong: str, data: str, trained: Sequence[str] = ()
) -> ModelCard:
    """The card of an adapter.

    Args:
        made: The adapter.
        title: What it is.
        does: What it does with a query and a window of documents.
        wrong: What another wording of the prompt gives others of.
        data: What it learned from.
        trained: The sections on how that went.
    """
    sections = [
        f"# {title}",
        f"A LoRA adapter for `{made.base}`, distilled by interank. It reads a query and a window of documents{does}",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="listwise")\n```\n\n'
        f"Prompt {made.notes['prompt_hash']}; another wording gives other {wrong}. "
        f"{told_of_instructions(made.counts)}".strip(),
        f"## Data\n\n{data}",
        cards.training_values(made.recipe, made.notes, prompt=cards.listed(made.notes["prompt"])),
        *trained,
        cards.licence(made.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "lora"], base=made.base)
