"""Quotes of an explanation with their places in it and in the document, as replies tell them."""

from __future__ import annotations

from typing import Any

from interank.serving.requests import Text
from interank.tasks.judge.quotes import located


def quotes_of(explanation: str, document: Text, query: str) -> list[dict[str, Any]]:
    """Each quote as docs/serve.md has it; `spans` are places in the document's text, not in its title."""
    title = len(document.title) + 1 if document.title else 0
    whole = f"{document.title}\n{document.text}" if document.title else document.text
    return [
        {
            "text": explanation[quote.start + 1 : quote.end - 1],
            "start": quote.start,
            "end": quote.end,
            "found": quote.found,
            "in_query": quote.of_query,
            "spans": [{"start": start - title, "end": end - title} for start, end in quote.spans if start >= title],
        }
        for quote in located(explanation, whole, query)
    ]


def relevant_spans(quotes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The verified quotes' places in the document, as Cohere tells spans."""
    return [{**span, "score": 1.0} for quote in quotes for span in quote["spans"]]
