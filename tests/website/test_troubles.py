"""The troubles that the docs explain are told in the product's own words."""

from __future__ import annotations

import re

from tests import messages
from website.source import ROOT

FAQ = ROOT / "docs" / "faq.md"
# Where a value stands, in the docs and in a message's source.
GAPS = re.compile(r"\.\.\.|\{[^{}]*\}|\b\d[\d.]*\b|`|'")


def pieces(text: str) -> list[str]:
    return [" ".join(piece.split()).strip(" ;,:.") for piece in GAPS.split(text)]


def test_what_is_printed_is_what_the_code_says() -> None:
    table = FAQ.read_text("utf-8").partition("| message | why |")[2].partition("\n\n")[0]
    quoted = [told for row in table.splitlines() for told in re.findall(r'"([^"]+)"', row.partition(" | ")[0])]
    assert len(quoted) >= 10
    said = [" ".join(" ".join(pieces(each.text)).split()) for each in messages.messages()]
    missing = [
        piece
        for told in quoted
        for piece in pieces(told)
        if len(piece.split()) > 1 and not any(piece in each for each in said)
    ]
    assert missing == []
