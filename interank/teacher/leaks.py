"""Finds explanations that reveal a document's origin (votes, acceptance, links), which a reranker cannot see."""

from __future__ import annotations

import re

_TELLTALES = re.compile(
    r"\b(?:"
    r"accepted\s+(?:answer|solution|response|reply)"
    r"|(?:answer|solution|response|reply)\s+(?:was|is|has\s+been|marked\s+as|being)\s+accepted"
    r"|(?:up|down)-?\s?vot(?:e|es|ed|ing)"
    r"|(?:highly|high|top|most|best|well|low|lower|lowest|highest)[- ](?:voted|rated|scored|scoring)"
    r"|(?:answer|post|question)(?:'s|\u2019s)\s+(?:score|votes?)"
    r"|original\s+poster|the\s+OP"
    r"|(?:hard|random)\s+negatives?"
    r"|(?:duplicate|linked|related)\s+(?:question|post)s?"
    r"|stack\s?(?:exchange|overflow)"
    r")\b",
    re.IGNORECASE,
)


def leak(explanation: str, visible: str) -> str | None:
    """The first words that reveal the origin and are in neither question nor document; None if there are none."""
    seen = visible.casefold()
    for match in _TELLTALES.finditer(explanation):
        if " ".join(match.group().casefold().split()) not in " ".join(seen.split()):
            return match.group()
    return None
