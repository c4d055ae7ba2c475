"""Texts made to take quadratic time: every reader of untrusted text takes time in proportion to its length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interank import judging, rubric
from interank.ir.overlap.posts import post_named, posts_in
from interank.ir.overlap.words import words
from interank.mining.pages import links_to_pages
from interank.mining.text import html_to_text, plain_text
from interank.tasks.judge import quotes, reading
from interank.tasks.order import lists, ordering
from interank.teacher.leaks import leak
from tests.break_in.growth import is_linear

SIZE = 10_000

HTML = {
    "elements that do not open": "<",
    "links that do not end": "<a ",
    "ends that do not end": "</",
    "blanks": " ",
    "tabs": "\t",
    "blanks as entities": "&#32;",
    "blanks in code": "<pre>    </pre>",
    "blanks between elements": "<b> </b>",
    "lists in lists": "<ul><li>",
    "code in code": "<pre><code>",
    "paragraphs": "<p> ",
    "comments that do not end": "<!--",
    "entities that do not end": "&#",
    "backticks": "`",
}
READERS: dict[str, Callable[[str], object]] = {
    "plain_text": plain_text,
    "words": words,
    "posts": lambda text: list(posts_in(text)),
    "post name": post_named,
    "links": links_to_pages,
    "quotes": quotes.quotes,
    "verified quotes": lambda text: quotes.verified('it says "a b c"', text),
    "masked": reading.masked,
    "leak": lambda text: leak(text, ""),
    "grade": judging.parse,
    "grade in JSON": judging.parse_json,
    "queries": lambda text: judging.parse_queries(text, 5),
    "fence": judging.unfenced,
    "mark": rubric.mark,
    "marks": lambda text: rubric.marks(text, 3),
    "order": lambda text: ordering.parse(text, 20),
    "moved": lambda text: lists.moved(text, {number: number for number in range(20)}),
}
REPEATED = (
    "'a ",
    "'a",
    '"a ',
    "`a",
    "[image:",
    "[1] > ",
    "passage 1, ",
    "Relevance Label: 0 ",
    "a-",
    "//a.",
    "1: 7 - ",
)


@pytest.mark.parametrize("name", HTML)
def test_html_takes_time_in_proportion_to_its_length(name: str) -> None:
    part = HTML[name]
    assert is_linear(html_to_text, lambda size: part * (size // len(part)) + "x", SIZE)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_of_texts_takes_time_in_proportion_to_their_length(name: str) -> None:
    for part in REPEATED:
        assert is_linear(READERS[name], lambda size, part=part: part * (size // len(part)) + "x", SIZE), part


def test_a_long_run_of_blanks_is_a_blank_and_in_code_as_wide_as_any_layout() -> None:
    assert html_to_text("a" + " " * 5000 + "b") == "a b"
    assert html_to_text("<pre>a" + " " * 150 + "b</pre>").count(" ") == 150
    assert html_to_text("<pre>a" + " " * 5000 + "b  \n c</pre>").count(" ") == 201
    assert html_to_text("<p>a</p><!-- " + " " * 5000 + "hidden --><p>b</p>") == "a\n\nb"


def test_what_is_linear_now_says_what_it_said() -> None:
    assert words("see [image: a [b] and enter image description here [image] it [image: x") == [
        *("see", "and", "it", "image", "x")
    ]
    assert quotes.quotes("he says 'it isn't, and it can't be' here") == ["it isn't, and it can't be"]
