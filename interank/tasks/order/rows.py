"""Ordered lists as rows of token ids: loss on the reasoning and the ranking alone, documents shown in seeded orders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from interank.errors import InputError
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import ListExample, shuffled
from interank.training.rows import Row


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A list that cannot be learned, and why."""

    query_id: str
    reason: str


@dataclass(slots=True)
class ListRows:
    """The rows of lists, and the lists that gave none."""

    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unshuffled: int = 0
    """Lists that keep their order, because their reasoning names documents by position."""


def list_rows(
    encoder: ListEncoder,
    examples: Sequence[ListExample],
    *,
    window: int,
    shuffles: int,
    max_reasoning_tokens: int,
    seed: int,
) -> ListRows:
    """The rows of all lists, each list whole or not at all.

    Args:
        encoder: Makes the ids.
        examples: The lists, as a teacher ordered them.
        window: Lists with more documents are left out.
        shuffles: The number of orders in which each list is shown; 0 shows its own.
        max_reasoning_tokens: Lists with a longer reasoning are left out.
        seed: Draws the orders.
    """
    result = ListRows()
    for number, example in enumerate(examples):
        size = len(example.documents)
        if size > window:
            reason = f"it has {size} documents, and the window is {window}"
            result.left_out.append(LeftOut(example.query.query_id, reason))
            continue
        orders = [shuffled(example, random.Random(f"{seed} {number} {time}")) for time in range(shuffles)]
        shown = [order for order in orders if order is not None]
        result.unshuffled += not shown
        for item in shown or [example]:
            row = list_row(encoder, item, max_reasoning_tokens)
            if isinstance(row, str):
                result.left_out.append(LeftOut(example.query.query_id, row))
                break
            result.rows.append(row)
    return result


def list_row(encoder: ListEncoder, example: ListExample, max_reasoning_tokens: int) -> Row | str:
    """The list as prompt and answer; or the reason why it gives no row.

    The answer is never cut: a reasoning without its end would teach to stop before the ranking. The documents are cut
    instead, evenly.
    """
    size, answer = len(example.documents), example.ordering
    reasoning = "" if encoder.settings.form == "direct" else answer.reasoning
    tokens = len(encoder.encoder.plain(reasoning))
    if tokens > max_reasoning_tokens:
        return f"its reasoning has {tokens} tokens, and at most {max_reasoning_tokens} are learned"
    read = ordering.parse(ordering.answer(answer.positions, reasoning, encoder.settings.form), size)
    if read is None or read.positions != answer.positions or read.repairs.total:
        return "its reasoning contains something that would be read as another ranking"
    try:
        prompt = encoder.prompt(example.query, example.documents, reasoning_tokens=tokens).prompt
    except InputError as error:
        return str(error)
    ids = encoder.answer(answer.positions, reasoning, reasoning_tokens=tokens)
    return Row("lists", tuple(prompt.ids), tuple(ids))
