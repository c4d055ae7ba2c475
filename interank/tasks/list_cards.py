"""The model card of an adapter that reads windows of documents: what it learned, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.protocol import CardFacts
from interank.tasks.sft_data import instructions_note


def card_of_windows(
    made: CardFacts, *, title: str, does: str, results: str, data: str, trained: Sequence[str] = ()
) -> ModelCard:
    """The card of an adapter.

    Args:
        made: The adapter.
        title: The title.
        does: What the adapter does with a query and a window of documents.
        results: What another wording of the prompt changes, as `grades`.
        data: A sentence about its data.
        trained: The sections about its training.
    """
    sections = [
        f"# {title}",
        f"A LoRA adapter for `{made.base}`, distilled by interank. It reads a query and a window of documents{does}",
        "## Use\n\n```python\nfrom interank import Reranker\n\n"
        'reranker = Reranker("THIS FOLDER", mode="listwise")\n```\n\n'
        f"Prompt {made.notes['prompt_hash']}; another wording gives other {results}. "
        f"{instructions_note(made.counts)}".strip(),
        f"## Data\n\n{data}",
        cards.training_values(made.recipe, made.notes, prompt=cards.listed(made.notes["prompt"])),
        *trained,
        cards.licence(made.base),
    ]
    return cards.model_card(sections, library="peft", tags=["reranker", "lora"], base=made.base)
