"""The parsers of a teacher's reply under random replies: no exception, no grade that is not written.

    python benchmarks/fuzz_replies.py --seconds 150

Texts are put together of what replies are made of (the label's line, grades, chat tokens, JSON, list numbers, odd
characters) and of pieces of right answers, cut and repeated. A grade that is read has to be written in the text once.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

from interank import judging
from interank.types import Judgment, Relevance

PIECES = (
    "Relevance Label: ",
    "Relevance Label:",
    "relevance label: 1",
    "Label: 2",
    "0",
    "1",
    "2",
    "3",
    "12",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "It says so.",
    "**",
    "<|im_end|>",
    "</s>",
    '{"relevance": 1, "explanation": "x"}',
    r'{"relevance": 2, "explanation": "half \ud800"}',
    '{"relevance":',
    "}",
    '"',
    "1. ",
    "2. a query",
    "- ",
    "\u0000",
    "\ud800",
    "\u202e",
    "\u0661",
    "²",
    "½",
    "\u00a0",
    "é" * 40,
    "a" * 500,
)


def text(rng: random.Random) -> str:
    """Pieces in random order, or a right answer with something done to it."""
    pieces = [rng.choice(PIECES) for _ in range(rng.randint(0, 9))]
    if rng.random() < 0.5:
        order = rng.choice(("grade_first", "reason_first"))
        right = judging.answer(Judgment("It says so.", rng.choice(list(Relevance))), order)
        place = rng.randint(0, len(right))
        pieces.insert(rng.randint(0, len(pieces)), right[:place] + rng.choice(("", *PIECES)) + right[place:])
    return "".join(pieces)


def main() -> None:
    """Try texts for so many seconds and count what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found = random.Random(options.seed), Counter[str]()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        tried = text(rng)
        found["texts"] += 1
        judgment = judging.parse(tried)
        if judgment is not None:
            found["judgments"] += 1
            written = f"{judging.LABEL_LEAD.strip()} {int(judgment.relevance)}"
            assert written in " ".join(tried.split()), tried
        as_json = judging.parse_json(tried)
        assert as_json is None or str(int(as_json.relevance)) in tried, tried
        if as_json is not None and tried.isascii():
            # JSON spells half characters in ASCII, so that a text that can be written holds one that cannot.
            as_json.reasoning.encode()
        found["JSON judgments"] += as_json is not None
        queries = judging.parse_queries(tried, 10)
        assert queries is None or (0 < len(queries) <= 10 and all(query.strip() for query in queries)), tried
        found["lists of queries"] += queries is not None
    for name, count in found.items():
        print(f"{name:18} {count:,}")


if __name__ == "__main__":
    main()
