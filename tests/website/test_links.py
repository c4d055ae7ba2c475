"""Links that leave the site are found in its pages and held to their form."""

from __future__ import annotations

from pathlib import Path

import pytest

from website.links import external, malformed


def test_links_that_leave_the_site_are_listed_with_their_pages(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org/x?a=1&amp;b=2">x</a> <a href="deep/b.html#c">b</a> <link href="https://style.org">'
        '<a href="https://example.org/x?a=1&amp;b=2">again</a> <code>https://not.a.link</code>'
    )
    (tmp_path / "deep" / "b.html").write_text('<a href="https://example.org/x?a=1&b=2">x</a> <a href="//host">h</a>')
    assert external(tmp_path) == {
        "//host": ["deep/b.html"],
        "https://example.org/x?a=1&b=2": ["a.html", "deep/b.html"],
    }


@pytest.mark.parametrize("address", ["https://example.org", "http://sub.example.org:8080/a%20b?c=d#e"])
def test_an_address_that_can_be_followed(address: str) -> None:
    assert not malformed(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example",
        "https:///path",
        "htps://example.org",
        "//example.org",
        "https://example.org/a b",
        "https://example.org/{id}",
        "https://exa_mple.org",
        "https://example.org:0x/",
        "https://[example.org",
        "javascript:x()",
    ],
)
def test_an_address_that_cannot_be_followed(address: str) -> None:
    assert malformed(address)
