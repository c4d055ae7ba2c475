"""Words are the same however a text is set; runs of words are those that counting by hand gives."""

import random
import re

import numpy as np
import pytest

from interank.ir.overlap.words import encode, grams, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don\u2019t panic \u2013 it\u2019s \u201cfine\u201d\u2026", "don't panic - it's \"fine\"..."),
        ("the caf\u00e9 na\u00efve fa\u00e7ade", "the cafe\u0301 nai\u0308ve fac\u0327ade"),
        ("the caf\u00e9", "THE CAFE"),
        ("\ufb01ve \uff57\uff49\uff44\uff45 \U0001d706\U0001d465", "five wide \u03bbx"),
        ("soft\u00adly zero\u200bwidth", "softly zerowidth"),
        ("<p>Is <b>H<sub>2</sub>O</b> wet?</p>\n<ul><li>yes</li><li>no</li></ul>", "Is H2O wet?\n\n- yes\n- no"),
        ("a &lt; b &amp;&amp; c &quot;d&quot;", 'a < b && c "d"'),
        ("see [the page](https://example.org/a_b?c=d#e) now", "see the page now"),
        ('see <a href="//example.org/q/7" rel="nofollow">the page</a> now', "see the page now"),
        ("look ![enter image description here](https://i.example.com/x.png) here", "look [image] here"),
        ("so **very** _important_, `x = y`", "so very important x y"),
        ("tabs\tand\r\nlines\u00a0and\u2003spaces", "tabs and lines and spaces"),
    ],
)
def test_the_same_words_in_other_dress_are_the_same(one: str, other: str) -> None:
    assert words(one) == words(other) != []


def test_what_only_looks_like_markup_stays() -> None:
    assert words("for i<n and n>0 do x//y") == ["for", "i", "n", "and", "n", "0", "do", "x", "y"]


def naive_runs(text: str, size: int, least: int) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    runs = {tuple(found[start : start + size]) for start in range(len(found) - size + 1)}
    return {run for run in runs if len({word for word in run if word.isalpha()}) >= least}


def test_runs_are_those_counted_by_hand() -> None:
    rng = random.Random(5)
    vocabulary = [*"abcdefgh", *"0123456789", "a1"]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(0, 60))) for _ in range(200)]
    for size, least in ((3, 0), (13, 5), (13, 8)):
        found = grams(encode(texts), size, least_alphabetic=least)
        expected = [len(naive_runs(text, size, least)) for text in texts]
        assert found.counts(len(texts)).tolist() == expected
        assert sum(expected) > 0
        runs = set().union(*(naive_runs(text, size, least) for text in texts))
        assert len(np.unique(found.keys)) == len(runs)


def test_a_grid_of_digits_has_no_run_that_counts() -> None:
    grid = "grid = [[0,1,0,2,1,0],[1,3,2,1,2,1],[0,0,0,0,0,0]] output 6"
    assert not len(grams(encode([grid]), 13, least_alphabetic=5).keys)
    assert len(grams(encode([grid]), 13).keys)


def test_texts_without_words_have_no_runs() -> None:
    assert not len(grams(encode(["", "...", "one"]), 3).keys)
    assert not len(grams(encode([]), 3).keys)
