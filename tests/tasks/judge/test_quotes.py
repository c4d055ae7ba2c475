"""Quotes are found between all kinds of marks and looked up word for word, not by luck of spelling."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.tasks.judge.quotes import Quotes, located, quotes, verified, without_quoted

DOCUMENT = (
    "Steam needs 5 minutes.\nIt's the under-baked   crumb that “gives way”, not the crust: let it cool \u2014 slowly."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('It says "steam needs" and "cool".', ["steam needs", "cool"]),
        ("It says “steam needs” and «le pain».", ["steam needs", "le pain"]),
        ("The call `x.append(1)` does it.", ["x.append(1)"]),
        ("It says 'the baker's crumb' plainly.", ["the baker's crumb"]),
        ("It says \u2018the baker\u2019s crumb\u2019 plainly.", ["the baker\u2019s crumb"]),
        ("The document doesn't say it's the bakers' fault.", []),
        ('An inch is 1" and nothing \'...\' else "--".', []),
        ("", []),
    ],
)
def test_what_stands_between_marks_is_a_quote(text: str, expected: list[str]) -> None:
    assert quotes(text) == expected


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ('It says "Steam needs 5 minutes."', Quotes(1, 1)),
        ('It says "steam needs five minutes".', Quotes(0, 1)),
        ('It blames "the under-baked crumb" and "the oven".', Quotes(1, 2)),
        ("It says 'it\u2019s the under-baked crumb that \"gives way\"'.", Quotes(1, 1)),
        ('It says "steam ... let it cool".', Quotes(1, 1)),
        ('It says "steam ... let it burn".', Quotes(0, 1)),
        ('It says "let it cool - slowly".', Quotes(1, 1)),
        ("It doesn't mention the oven.", Quotes(0, 0)),
    ],
)
def test_a_quote_counts_as_found_where_the_document_has_its_words(explanation: str, expected: Quotes) -> None:
    assert verified(explanation, DOCUMENT) == expected


def test_a_quote_of_the_query_is_not_held_against_the_document() -> None:
    explanation = 'The question "why does bread sink" is answered by "the under-baked crumb".'
    assert verified(explanation, DOCUMENT, "Why does bread sink?") == Quotes(1, 1)
    assert verified(explanation, DOCUMENT) == Quotes(1, 2)


def test_a_quote_of_both_is_one_of_the_document() -> None:
    assert verified('It has "the crust".', DOCUMENT, "What of the crust?") == Quotes(1, 1)


LONG = "Basil wilts in the cold. Keep it above ten degrees.\n\nWater it in the morning. Mint does not mind."


@pytest.mark.parametrize(
    ("explanation", "left"),
    [
        ('It says "wilts in the cold".', "Keep it above ten degrees. Water it in the morning. Mint does not mind."),
        # Over the end of a sentence, and with something left out.
        ('It says "in the cold. Keep it above".', "Water it in the morning. Mint does not mind."),
        ('It says "basil wilts in ... water it in".', "Keep it above ten degrees. Mint does not mind."),
        ("It says “ten degrees. Water it”.", "Basil wilts in the cold. Mint does not mind."),
        # In the document nowhere, or nearly everywhere.
        ('It says "wilts in the heat".', LONG.replace("\n\n", " ")),
        ('It says "e", "a", "o".', LONG.replace("\n\n", " ")),
        ('It is about "basil".', LONG.replace("\n\n", " ")),
        (f'"{LONG}"', ""),
    ],
)
def test_what_is_quoted_is_taken_out_by_the_sentence(explanation: str, left: str) -> None:
    assert without_quoted(LONG, explanation) == left


RUN_ON = "Basil WILTS in the cold, mint does not mind, and basil wilts in the cold of May"


@pytest.mark.parametrize(
    ("document", "explanation", "left"),
    [
        (RUN_ON, 'It says "mint does not".', "Basil WILTS in the cold, mind, and basil wilts in the cold of May"),
        # Wherever it stands.
        (RUN_ON, 'It says "wilts in the cold".', "Basil , mint does not mind, and basil of May"),
        (
            "On herbs.\n" + RUN_ON,
            'It says "mint ... does not mind".',
            "On herbs. " + RUN_ON.replace("does not mind", ""),
        ),
        (RUN_ON, f'It says "{RUN_ON}".', ""),
        # Some words of each sentence.
        (
            LONG,
            '"wilts in the", "keep it above", "water it in"',
            "Basil cold. ten degrees. the morning. Mint does not mind.",
        ),
        (LONG, f'"{LONG[:-20]}"', "Mint does not mind."),
    ],
)
def test_of_a_sentence_that_is_most_of_the_document_the_quoted_words_are_taken_out(
    document: str, explanation: str, left: str
) -> None:
    assert without_quoted(document, explanation).split() == left.split()


# Letters that become one with others, become several, or hold a blank once they are composed.
_ODD = " \t\u00a8\u00b4\u0e33\u0301\u0323\u1100\u1161\u11a8\uac01\ufb01\u1e9e\u0130\u0345"
_COMPOSED = st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(_ODD)))


@given(_COMPOSED, st.sampled_from(["NFC", "NFD"]))
def test_a_quote_is_found_in_its_place_behind_any_letters(text: str, form: Literal["NFC", "NFD"]) -> None:
    before = unicodedata.normalize(form, text) + " | "
    [told] = located('It says "all of it is said here".', f"{before}all of it is said here")
    assert told.spans == ((len(before), len(before) + len("all of it is said here")),)
