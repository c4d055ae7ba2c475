"""The balance of grades in the training split, adjusted by leaving judgments out."""

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

    Which ones depends on the seed and their ids alone. Validation stays as it is: it is to look like the data.

    Args:
        judged: Split, grade, the query's id and the document's, in their order; 17 bytes of each are held.
        max_share: Above one third.
        seed: Draws.

    Raises:
        InputError: Only nothing at all would be so balanced.
    """
    places: dict[int, array[int]] = {int(grade): array("q") for grade in GRADES}
    draws: dict[int, array[int]] = {int(grade): array("Q") for grade in GRADES}
    for place, (split, grade, query_id, doc_id) in enumerate(judged):
        if split == "train":
            places[grade].append(place)
            draws[grade].append(_draw(query_id, doc_id, seed))
    counts = {grade: len(found) for grade, found in places.items()}
    kept = dict(counts)
    total = sum(counts.values())
    # The second grade's cut lowers what the first may keep, so it takes a few rounds to come to rest.
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
        found = ", ".join(f"{counts[grade]} of grade {int(grade)}" for grade in GRADES)
        raise InputError(
            f"max_grade_share: no grade of the training split ({found}) can have {max_share:g} or less unless all is "
            "left out; raise it, or set it to null"
        )
    left_out: set[int] = set()
    for grade, number in kept.items():
        drawn_first = numpy.argsort(numpy.array(draws[grade], dtype=numpy.uint64), kind="stable")
        left_out |= {places[grade][drawn] for drawn in drawn_first[number:]}
    return left_out


def _draw(query_id: str, doc_id: str, seed: int) -> int:
    name = f"{seed}/{query_id}/{doc_id}"
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8], "big")
