"""The model card of an adapter that orders lists: what it learned, and how it is used."""

from __future__ import annotations

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.list_cards import card_of_windows
from interank.tasks.protocol import CardFacts


def card(made: CardFacts) -> ModelCard:
    """The card of an adapter."""
    thinks = "thinks before it ranks" if made.notes["prompt"]["form"] == "reason" else "ranks at once"
    return card_of_windows(
        made,
        title="A reranker that orders lists",
        does=f", {thinks} and names them, the most helpful first.",
        results="orders",
        data=f"{made.counts['rows']} lists.",
        trained=[f"## Training\n\n{pictures}"] if (pictures := cards.shown(made.pictures)) else [],
    )
