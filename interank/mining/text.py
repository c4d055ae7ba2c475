"""Turns the HTML of a post's body into the text that a model and an index read."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from markdownify import ATX, MarkdownConverter

# Longer ones, which markdownify's expressions look through anew from each blank, are nobody's layout.
_MOST_BLANKS = 200
_LONG_BLANKS = re.compile(rf"(?<![ \t])[ \t]{{{_MOST_BLANKS + 1},}}")
# The editor's own words, of writers who gave none.
_DEFAULT_IMAGE_TEXT = "enter image description here"


def html_to_text(html: str, *, site: str = "") -> str:
    """Text with Markdown's marks for code, lists, quotes and headings; `$...$` stays as it was written.

    Links to elsewhere are followed by their address in parentheses. Links within `site` are not: their
    addresses hold post ids, which are no part of what a post says.
    """
    # Within an element, as Beautiful Soup warns of markup that looks like a file name or an address.
    soup = BeautifulSoup(f"<div>{html}</div>", "lxml")
    for long in soup.find_all(string=_LONG_BLANKS):
        # Comments stay comments.
        long.replace_with(type(long)(_LONG_BLANKS.sub(" " * _MOST_BLANKS, long)))
    try:
        text: str = _Converter(site).convert_soup(soup)
    except RecursionError:
        # Elements nested hundreds deep are nobody's layout.
        text = soup.get_text(" ")
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip()


# Elements within a word; others end one.
_INLINE = re.compile(r"</?(?:a|abbr|b|code|del|em|i|ins|kbd|s|span|strike|strong)(?:\s[^>]*)?>", re.IGNORECASE)
_ELEMENT = re.compile("<[^>]*>")


def plain_text(html: str) -> str:
    """The words of a body and nothing else, at a fiftieth of `html_to_text`'s cost: to count, compare and search."""
    # What opens after the last end of an element is searched for an end in vain, each time to the end of the text.
    ends = html.rfind(">") + 1
    return unescape(_ELEMENT.sub(" ", _INLINE.sub("", html[:ends])) + html[ends:])


class _Converter(MarkdownConverter):
    """Markdown less what serves looks only: no emphasis, no escapes, no image addresses."""

    def __init__(self, site: str) -> None:
        super().__init__(
            heading_style=ATX,
            bullets="-",
            strip=["b", "em", "i", "strong"],
            escape_asterisks=False,
            escape_underscores=False,
        )
        self._site = site.lower()

    def convert_a(self, el: Any, text: str, parent_tags: set[str]) -> str:
        address = str(el.get("href") or "").strip()
        if text.strip() in ("", address) or not _leads_elsewhere(address, self._site):
            return text
        return f"{text} ({address})"

    def convert_img(self, el: Any, text: str, parent_tags: set[str]) -> str:
        shown = " ".join(str(el.get("alt") or "").split())
        return f"[image: {shown}]" if shown and shown != _DEFAULT_IMAGE_TEXT else "[image]"

    def convert_sup(self, el: Any, text: str, parent_tags: set[str]) -> str:
        return f"^{text}" if text.strip() else text

    def convert_sub(self, el: Any, text: str, parent_tags: set[str]) -> str:
        return f"_{text}" if text.strip() else text


def _leads_elsewhere(address: str, site: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and parts.hostname != site
    except ValueError:
        return False
