"""Plans of listwise ranking: which documents share a window, and how the windows' orders make one; no model here.

A plan is a generator: it yields windows that can be ranked in parallel, as places in the first-stage ranking, is sent
each of them in its new order, and returns all places, best first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from interank.settings import ListwiseRecipe

Window: TypeAlias = tuple[int, ...]
Plan: TypeAlias = Generator[list[Window], list[Window], list[int]]


def plan(depth: int, settings: ListwiseRecipe) -> Plan:
    """The plan over `depth` documents by the method of the settings."""
    if settings.method == "sliding":
        return sliding(depth, settings.window, settings.stride)
    return (tournament if settings.method == "tournament" else top_down)(depth, settings.window)


def calls(depth: int, settings: ListwiseRecipe) -> int:
    """The number of windows of a plan, which does not depend on the answers; each is ranked `shuffles` times."""
    window = settings.window
    if settings.method == "sliding" or depth <= window:
        return _positions(depth, window, settings.stride)
    if settings.method == "top_down":
        return 2 + -(-(depth - window) // (window - 1))
    groups = _dealt(list(range(depth)), window)
    winners = sum(min(len(group), _promoted(len(groups), window)) for group in groups)
    return sum(len(group) > 1 for group in groups) + calls(winners, settings)


def sliding(depth: int, window: int, step: int) -> Plan:
    """A window that slides from the end to the front; its last position is full, too (RankGPT, arXiv 2304.09542).

    A depth that the window covers takes one call. Documents rise through the overlap of a window with the next.
    """
    order = list(range(depth))
    for number in range(_positions(depth, window, step)):
        start = max(0, depth - window - number * step)
        part = slice(start, min(depth, start + window))
        (order[part],) = yield [tuple(order[part])]
    return order


def tournament(depth: int, window: int) -> Plan:
    """Groups in parallel, then their winners, until one window holds them.

    Neighbours of the first stage come into different groups, since in one group they would eliminate each other. Each
    of G groups promotes window / G documents, at least one. Eliminated documents follow the winners: those of later
    rounds first, then by rank in their group, then in first-stage order.
    """
    alive = list(range(depth))
    places: dict[int, tuple[int, int, int]] = {}
    rounds = 0
    while len(alive) > window:
        groups = _dealt(alive, window)
        to_rank = [group for group in groups if len(group) > 1]
        answers = iter((yield to_rank))
        ranked = [next(answers) if len(group) > 1 else group for group in groups]
        promoted = _promoted(len(groups), window)
        for group in ranked:
            places |= {place: (-rounds, rank, place) for rank, place in enumerate(group) if rank >= promoted}
        alive = sorted(place for group in ranked for place in group[:promoted])
        rounds += 1
    if len(alive) > 1:
        (final,) = yield [tuple(alive)]
        alive = list(final)
    return [*alive, *sorted(places, key=places.__getitem__)]


def top_down(depth: int, window: int) -> Plan:
    """The first window; all others in parallel, each with that window's middle document; then the best once more.

    The middle document is the pivot. A document above it in its window comes before it, by its rank there, and one
    below comes after it, by its distance from it; the first window of the merged order is ranked again. (After TDPart,
    arXiv 2405.14589, with the number of calls fixed.)
    """
    head = tuple(range(min(depth, window)))
    if depth > 1:
        (head,) = yield [head]
    if depth <= window:
        return list(head)
    pivot = head[(window - 1) // 2]
    rest = range(window, depth)
    parts = [(pivot, *rest[begin : begin + window - 1]) for begin in range(0, len(rest), window - 1)]
    ranked = yield parts
    standing: dict[int, tuple[bool, int]] = {}
    for part in (head, *ranked):
        middle = part.index(pivot)
        standing |= {
            place: (rank > middle, rank if rank < middle else rank - middle) for rank, place in enumerate(part)
        }
    # The pivot stands in every window; it belongs between the two sides.
    standing[pivot] = (True, 0)
    merged = sorted(standing, key=lambda place: (*standing[place], place))
    (best,) = yield [tuple(merged[:window])]
    return [*best, *merged[window:]]


@dataclass(frozen=True, slots=True)
class Showing:
    """One presentation of a window: its places in the order of the prompt."""

    window: Window
    shown: Window

    def back(self, positions: Sequence[int], named: int) -> Window:
        """The places in the order of an answer's positions, of which the first `named` were in the answer.

        The others follow in the window's own order, which is not the shown one where that was shuffled.
        """
        chosen = [self.shown[position] for position in positions[:named]]
        taken = set(chosen)
        return (*chosen, *(place for place in self.window if place not in taken))


def showings(windows: Sequence[Window], settings: ListwiseRecipe, salt: str) -> list[Showing]:
    """The `shuffles` presentations of each window: first as it is, then shuffled by seed, salt and its documents."""
    views = []
    for window in windows:
        views.append(Showing(window, window))
        for number in range(1, settings.shuffles):
            shuffled = list(window)
            random.Random(f"{settings.seed}/{salt}/{number}/{window}").shuffle(shuffled)
            views.append(Showing(window, tuple(shuffled)))
    return views


def aggregated(window: Window, orders: Sequence[Window]) -> Window:
    """One order out of several, by the sum of ranks (Borda); ties, and all places without orders, keep their order."""
    ranks = {place: sum(order.index(place) for order in orders) for place in window}
    return tuple(sorted(window, key=ranks.__getitem__))


def follow(steps: Plan, answer: Callable[[list[Window]], list[Window]]) -> list[int]:
    """Run a plan to its end with a function that orders its windows."""
    try:
        windows = next(steps)
        while True:
            windows = steps.send(answer(windows))
    except StopIteration as end:
        order: list[int] = end.value
        return order


def _positions(depth: int, window: int, step: int) -> int:
    """The number of positions of a sliding window; one document needs none."""
    return 0 if depth < 2 else 1 + max(0, -(-(depth - window) // step))


def _dealt(places: Sequence[int], window: int) -> list[Window]:
    """The places dealt like cards to as few groups as hold them."""
    groups = -(-len(places) // window)
    return [tuple(places[number::groups]) for number in range(groups)]


def _promoted(groups: int, window: int) -> int:
    return max(1, window // groups)
