"""The balance of grades in the training split: judgments of a too frequent grade are left out."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable

import numpy

from interank.errors import InputError
from interank.types import GRADES


def surplus(judged: Iterable[tuple[str, int, str, str]], max_share: float, seed: int) -> set[int]:
    """The places of training examples to leave out so that no grade has more than `max_share` of them.

    The choice depends on the seed and the examples' ids alone. The validation split is not changed: it stays
    distributed like the data.

    Args:
        judged: Each example's split, grade, query id and document id, in order; 17 bytes an example are held.
        max_share: Above one third.
        seed: Seeds the choice.

    Raises:
        InputError: No grade can have such a share unless every example is left out.
    """
    places: dict[int, array[int]] = {int(grade): array("q") for grade in GRADES}
    draws: dict[int, array[int]] = {int(grade): array("Q") for grade in GRADES}
    for place, (split, grade, query_id, doc_id) in enumerate(judged):
        if split == "train":
            places[grade].append(place)
            draws[grade].append(_draw(query_id, doc_id, seed))
    counts = {grade: len(own) for grade, own in places.items()}
    kept = dict(counts)
    total = sum(counts.values())
    # Cutting one grade lowers what another may keep, so several rounds are needed.
    for _ in range(total):
        over = {
            grade: allowed
            for grade, number in kept.items()
            if number > (allowed := math.floor(max_share / (1 - max_share) * (sum(kept.values()) - number)))
        }
        if not over:
            break
        grade = max(over, key=lambda grade: (kept[grade] - over[grade], grade))
        kept[grade] = over[grade]
    if total and not any(kept.values()):
        by_grade = ", ".join(f"{counts[grade]} of grade {int(grade)}" for grade in GRADES)
        raise InputError(
            f"max_grade_share: no grade of the training split ({by_grade}) can have a share of {max_share:g} or less "
            "unless all judgments are left out; raise max_grade_share, or set it to null"
        )
    left_out: set[int] = set()
    for grade, number in kept.items():
        drawn_first = numpy.argsort(numpy.array(draws[grade], dtype=numpy.uint64), kind="stable")
        left_out |= {places[grade][drawn] for drawn in drawn_first[number:]}
    return left_out


def _draw(query_id: str, doc_id: str, seed: int) -> int:
    name = f"{seed}/{query_id}/{doc_id}"
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8], "big")
