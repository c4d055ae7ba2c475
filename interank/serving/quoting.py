"""The quotes of an explanation for replies, with their positions in the explanation and in the document."""

from __future__ import annotations

from typing import Any

from interank.serving.requests import Text
from interank.tasks.judge.quotes import located


def quotes_of(explanation: str, document: Text, query: str) -> list[dict[str, Any]]:
    """Each quote in the form of docs/serve.md; `spans` are positions in the document's text, not in its title."""
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
    """The verified quotes' positions in the document, in Cohere's form."""
    return [{**span, "score": 1.0} for quote in quotes for span in quote["spans"]]
