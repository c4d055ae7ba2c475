"""A post is known by any of its addresses."""

import pytest

from interank.ir.overlap import PostName, page_name, post_named, posts_in, site_name

MATH = "math.stackexchange.com"


@pytest.mark.parametrize(
    "address",
    [
        "https://math.stackexchange.com/questions/7/some-title",
        "http://math.stackexchange.com/questions/7",
        "//math.stackexchange.com/q/7",
        "math.stackexchange.com/q/7/1234",
        "https://www.math.stackexchange.com/q/7/",
        "HTTPS://Math.StackExchange.com/Questions/7/Title",
        "https://math.stackexchange.com:443/questions/7/title?rq=1",
        "https://math.stackexchange.com/questions/7/title#comment99_7",
        "https://math.stackexchange.com/questions/7/100-things",
        "https%3A%2F%2Fmath.stackexchange.com%2Fquestions%2F7",
        "https://math.stackexchange.com/posts/7/revisions",
        "https://math.stackexchange.com/a/7/55",
        "See (https://math.stackexchange.com/q/7).",
        '<a href="https://math.stackexchange.com/q/7">x</a>',
        "[x](https://math.stackexchange.com/q/7), and so on",
    ],
)
def test_an_address_names_the_post(address: str) -> None:
    assert list(posts_in(address)) == [PostName(MATH, "7")]


@pytest.mark.parametrize(
    "address",
    [
        "https://math.stackexchange.com/questions/7/some-title/8#8",
        "https://math.stackexchange.com/questions/7/some-title/8?noredirect=1#comment9_8",
        "https://math.stackexchange.com/questions/7/some-title#8",
        "https://math.stackexchange.com/questions/7/some-title#answer-8",
    ],
)
def test_an_answers_long_address_names_the_question_too(address: str) -> None:
    assert list(posts_in(address)) == [PostName(MATH, "7"), PostName(MATH, "8")]


@pytest.mark.parametrize(
    "text",
    [
        "https://math.stackexchange.com/questions/tagged/algebra",
        "https://math.stackexchange.com/users/7/name",
        "https://rads.stackoverflow.com/amzn/click/com/0465047688",
        "https://notmath.example.com/questions/7",
        "https://mystackoverflow.com/questions/7",
        "https://en.wikipedia.org/wiki/Q/7",
        "questions/7",
        "https://math.stackexchange.com/q/7abc",
    ],
)
def test_other_addresses_name_no_post(text: str) -> None:
    assert list(posts_in(text)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("math", MATH),
        ("www.stackoverflow.com", "stackoverflow.com"),
        ("stackoverflow", "stackoverflow.com"),
        ("mathoverflow.com", "mathoverflow.net"),
        ("cogsci.stackexchange.com", "psychology.stackexchange.com"),
        ("meta.math.stackexchange.com", "math.meta.stackexchange.com"),
        ("programmers.stackexchange.com", "softwareengineering.stackexchange.com"),
        ("Coffee.StackExchange.com", "coffee.stackexchange.com"),
    ],
)
def test_a_site_has_one_name(one: str, other: str) -> None:
    assert site_name(one) == site_name(other)


def test_sites_and_their_metas_differ() -> None:
    names = (
        "meta.stackexchange.com",
        "math.stackexchange.com",
        "math.meta.stackexchange.com",
        "meta.stackoverflow.com",
    )
    assert len({site_name(name) for name in names}) == len(names)


def test_an_id_may_name_a_post() -> None:
    assert post_named("coffee.stackexchange.com/123") == [PostName("coffee.stackexchange.com", "123")]
    assert post_named("biology/insects_1.txt") == post_named("17") == []


def test_a_page_is_the_same_under_both_schemes() -> None:
    forms = ("https://www.example.org/a/b/", "http://example.org/a/b#part", "//example.org/a/b")
    assert {page_name(form) for form in forms} == {"example.org/a/b"}
    assert page_name("insects/Phototaxis_0.txt") is None
