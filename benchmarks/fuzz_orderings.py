"""Feeds the parser of listwise answers random and mutated replies for some minutes: no crash, no lost document."""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interank.tasks.order.ordering import Repairs, parse

_PIECES = [
    *(
        "[",
        "]",
        ">",
        ">>",
        "=",
        ",",
        " ",
        "\n",
        "\t",
        "\u00a0",
        "*",
        "`",
        "(",
        ")",
        "-",
        ".",
        ":",
        "#",
        "0",
        "1",
        "2",
        "9",
    ),
    *("12", "007", "99999999", "\u0663", "\uff12", "\u00b2", "[3]", "[1] > [2]", "12] > [13]", "Ranking:", "ranking :"),
    *("### Final Reranking:", "**Ranking:**", "<think>", "</think>", "<answer>", "</answer>", "Step 1.", "[3](4) = "),
    *("\x00", "\ud800", "\u202e", "and [2] because", "{", "}", "\\boxed{", "&gt;"),
]
_REPLIES = "fixtures/listwise_llm_outputs/rankvicuna_dl19_bm25top100_w20s10.jsonl.gz"
_SLOW = 0.5


def check(text: str, size: int, found: Counter[str]) -> None:
    """Parse and hold the answer to its promises."""
    begun = time.process_time()
    ordering = parse(text, size)
    assert time.process_time() - begun < _SLOW, text
    found["texts"] += 1
    if ordering is None:
        found["without a ranking"] += 1
        return
    assert sorted(ordering.positions) == list(range(size)), text
    repairs = ordering.repairs
    assert repairs.missing < size, text
    assert min(getattr(repairs, kind) for kind in Repairs.__dataclass_fields__) >= 0, text
    found["mended" if repairs.total else "clean"] += 1


def mutated(rng: random.Random, reply: str) -> str:
    """The reply after some cuts, insertions, copies and exchanges."""
    for _ in range(rng.randint(1, 6)):
        begin, end = sorted(rng.randint(0, len(reply)) for _ in range(2))
        piece = rng.choice(_PIECES)
        reply = rng.choice(
            [
                reply[:begin] + reply[end:],
                reply[:begin] + piece + reply[begin:],
                reply[:begin] + reply[begin:end] * 2 + reply[end:],
                reply[:end] + piece * rng.randint(1, 40),
                reply[begin:],
                reply[:end],
            ]
        )[:5000]
    return reply


def main() -> None:
    """Run both kinds for half of the time each, and print what was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--real-data", type=Path, metavar="DIR", help="a folder with " + _REPLIES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found: Counter[str] = Counter()
    half = time.monotonic() + options.seconds / 2
    texts = st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=120).map("".join)

    @settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(text=texts, size=st.integers(1, 40))
    def generated(text: str, size: int) -> None:
        check(text, size, found)

    while time.monotonic() < half:
        generated()
    rng = random.Random(options.seed)
    replies = ["Ranking: [2] > [1] > [3]", "It needs 3 things.\n\n[3] > [1] > [2]"]
    if options.real_data:
        with gzip.open(options.real_data / _REPLIES, "rt", encoding="utf-8") as lines:
            replies = [json.loads(line)["response"] for line in lines]
    while time.monotonic() < half + options.seconds / 2:
        check(mutated(rng, rng.choice(replies)), rng.choice([2, 3, 19, 20, 21]), found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
