"""The files and counts of the lists that the teacher ordered: kept orders and rejected ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank.judgments import JudgedList
from interank.ledger import write_rows
from interank.settings import OrderingsRecipe
from interank.tasks.order import ordering
from interank.tasks.order.orderings import REJECTED_FILE, write_orderings
from interank.teacher.annotate import Rejection
from interank.teacher.lists import ListOutcome, OrderedList

Lists = Sequence[tuple[JudgedList, ListOutcome]]


def write_lists(folder: Path, lists: Lists) -> None:
    """Write `orderings.jsonl`, and the rejected lists with their reasons."""
    write_orderings(((item.example, item.ndcg) for _, item in lists if isinstance(item, OrderedList)), folder)
    write_rows(
        folder / REJECTED_FILE,
        (
            {
                "query_id": item.query.query_id,
                "split": item.split,
                "doc_ids": [document.doc_id for document in item.documents],
                "reason": outcome.reason,
                "reply": outcome.reply,
            }
            for item, outcome in lists
            if isinstance(outcome, Rejection)
        ),
    )


def lists_counts(lists: Lists) -> dict[str, int]:
    """The numbers of ordered, rejected and unanswered lists."""
    return {
        "orderings": sum(isinstance(outcome, OrderedList) for _, outcome in lists),
        "rejected_orderings": sum(isinstance(outcome, Rejection) for _, outcome in lists),
        "unanswered_orderings": sum(outcome is None for _, outcome in lists),
    }


def lists_notes(settings: OrderingsRecipe, lists: Lists) -> dict[str, Any]:
    """The facts about the orders for manifest and card."""
    return {
        "prompt_hash": ordering.prompt_hash(settings.prompt.form, settings.prompt.shown_instruction),
        "form": settings.prompt.form,
        "min_ndcg": settings.min_ndcg,
        **lists_counts(lists),
    }
