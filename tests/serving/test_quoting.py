"""Quotes as replies tell them: where they stand in the explanation, and where in the document's text."""

from __future__ import annotations

import re

from interank.serving.quoting import quotes_of, relevant_spans
from interank.serving.requests import Text
from tests.support.serve_process import ROOT


def test_places_are_those_in_the_text_without_its_title_and_only_of_what_is_there() -> None:
    said = "It says “red FOX”, not “blue whale”; “About foxes” is its title."
    found = quotes_of(said, Text("🐟 A Red  fox.", "About foxes"), "why")
    assert [(quote["text"], quote["found"]) for quote in found] == [
        ("red FOX", True),
        ("blue whale", False),
        ("About foxes", True),
    ]
    assert [said[quote["start"] : quote["end"]] for quote in found] == ["“red FOX”", "“blue whale”", "“About foxes”"]
    # Code points, of two blanks where the quote has one.
    assert [quote["spans"] for quote in found] == [[{"start": 4, "end": 12}], [], []]
    assert relevant_spans(found) == [{"start": 4, "end": 12, "score": 1.0}]


def test_the_document_names_each_field_of_a_quote_and_a_querys_words_are_no_documents() -> None:
    shown = re.search(r"^\| `quotes` \|[^`]*`\{(.*?)\}`", (ROOT / "docs" / "serve.md").read_text("utf-8"), re.MULTILINE)
    (found,) = quotes_of("You ask of “foxes”.", Text("A whale."), "foxes")
    assert shown and shown[1].split(", ") == list(found)
    assert (found["found"], found["in_query"], found["spans"]) == (False, True, [])
