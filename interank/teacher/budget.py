"""The teacher's cost in tokens, seconds and dollars, and the budget that ends its requests."""

from __future__ import annotations

import time
from dataclasses import dataclass

from interank.settings import BudgetRecipe, RateRecipe

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and seconds that an output has cost so far."""

    read: int = 0
    written: int = 0
    seconds: float = 0.0


def dollars(read: int, written: int, price: RateRecipe | None) -> float | None:
    """The price of the tokens read and written; None where the recipe has no price."""
    return (read * price.read + written * price.written) / _MILLION if price else None


class Meter:
    """Counts the cost of an output, earlier runs of it included."""

    def __init__(self, budget: BudgetRecipe, price: RateRecipe | None, before: Spent = Spent()) -> None:
        self.budget = budget
        self.price = price
        self._read, self._written = before.read, before.written
        self._began = time.monotonic() - before.seconds
        self.stopped = ""
        """The limit that was reached, in words; empty if none was."""

    def add(self, read: int, written: int) -> None:
        """Count a reply."""
        self._read += read
        self._written += written

    @property
    def spent(self) -> Spent:
        """The cost so far."""
        return Spent(self._read, self._written, time.monotonic() - self._began)

    def reached(self) -> bool:
        """Whether a limit has been reached; once true, it stays true."""
        spent, budget = self.spent, self.budget
        paid = dollars(spent.read, spent.written, self.price)
        tokens = spent.read + spent.written
        if self.stopped:
            return True
        if budget.tokens is not None and tokens >= budget.tokens:
            self.stopped = f"{tokens} tokens of {budget.tokens}"
        elif budget.dollars is not None and paid is not None and paid >= budget.dollars:
            self.stopped = f"{paid:.4f} dollars of {budget.dollars}"
        elif budget.seconds is not None and spent.seconds >= budget.seconds:
            self.stopped = f"the {budget.seconds:g} seconds are over"
        return bool(self.stopped)
