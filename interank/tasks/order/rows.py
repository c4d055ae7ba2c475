"""Ordered lists as rows of token ids: loss on the reasoning and the ranking alone, documents shown in seeded orders."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


class ListRows:
    """Makes rows of lists, and keeps account of the lists that gave none."""

    def __init__(
        self, encoder: ListEncoder, *, window: int, shuffles: int, max_reasoning_tokens: int, seed: int
    ) -> None:
        """Take the settings.

        Args:
            encoder: Makes the ids.
            window: Lists with more documents are left out.
            shuffles: The number of orders in which each list is shown; 0 shows its own.
            max_reasoning_tokens: Lists with a longer reasoning are left out.
            seed: Draws the orders.
        """
        self._encoder, self._window, self._shuffles = encoder, window, shuffles
        self._most, self._seed = max_reasoning_tokens, seed
        self.left_out: list[LeftOut] = []
        self.unshuffled = 0
        """Lists that keep their order, because their reasoning names documents by position."""

    def of(self, numbered: Iterable[tuple[int, ListExample]]) -> Iterator[Row]:
        """Yield the rows of lists, as a teacher ordered them, each with its number among all."""
        for number, example in numbered:
            size = len(example.documents)
            if size > self._window:
                self._leave_out(example, f"it has {size} documents, and the window is {self._window}")
                continue
            draws = (random.Random(f"{self._seed} {number} {time}") for time in range(self._shuffles))
            shown = [order for order in (shuffled(example, rng) for rng in draws) if order is not None]
            self.unshuffled += not shown
            for item in shown or [example]:
                row = list_row(self._encoder, item, self._most)
                if isinstance(row, str):
                    self._leave_out(example, row)
                    break
                yield row

    def _leave_out(self, example: ListExample, reason: str) -> None:
        self.left_out.append(LeftOut(example.query.query_id, reason))


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
