"""The columns of an answer about a judged list, for rewards, for the record and for the training's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interank.judgments import JudgedList
from interank.rewards import TRL_COLUMNS, Reward

if TYPE_CHECKING:
    from interank.artifact import Artifact
    from interank.tasks.protocol import ShownPrompt
    from interank.tasks.recipes import RlLists

_COLUMNS = ("query_id", "query", "doc_ids", "documents", "grades")


def columns(item: JudgedList) -> dict[str, Any]:
    """The columns that rewards get of a list: its documents and their judged grades."""
    return {
        "query_id": item.query.query_id,
        "query": item.query.text,
        "doc_ids": [document.doc_id for document in item.documents],
        "documents": [document.full_text for document in item.documents],
        "grades": list(item.grades),
    }


def check(recipe: RlLists, adapter: Artifact, rewards: Sequence[Reward]) -> None:
    """Refuse a reward that needs another column; its subject was checked before.

    Raises:
        InputError: A reward needs another column.
    """
    for reward in rewards:
        reward.check_columns((*_COLUMNS, *TRL_COLUMNS))


def shown(row: Mapping[str, Any]) -> ShownPrompt:
    """The list's documents with their numbers and judged grades."""
    # Imported here, since it loads torch, which checking a recipe does without.
    from interank.tasks.protocol import ShownPrompt

    listed = enumerate(zip(row["grades"], row["documents"], strict=True), start=1)
    return ShownPrompt("Documents", [f"[{number}] judged {grade}: {text}" for number, (grade, text) in listed])
