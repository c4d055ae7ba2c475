"""Conversion of a post's HTML into the text that models and indexes read."""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag
from markdownify import ATX, MarkdownConverter

# Longer runs of blanks have no meaning, and take markdownify's expressions quadratic time.
_MOST_BLANKS = 200
_LONG_BLANKS = re.compile(rf"(?<![ \t])[ \t]{{{_MOST_BLANKS + 1},}}")
# The editor's default text, which many writers leave unchanged.
_DEFAULT_IMAGE_TEXT = "enter image description here"


def html_to_text(html: str, *, site: str = "") -> str:
    """Convert HTML to text with Markdown's marks for code, lists, quotes and headings; `$...$` stays unchanged.

    A link to another site is followed by its address in parentheses. A link within `site` is not: its address would
    bring post ids into the text.
    """
    # Wrapped in an element, because Beautiful Soup warns of markup that looks like a file name or an address.
    soup = BeautifulSoup(f"<div>{html}</div>", "lxml", element_classes={Tag: _Element})
    try:
        text: str = _converter(site).convert_soup(soup)
    except RecursionError:
        # Elements nested hundreds deep carry no layout worth keeping.
        text = soup.get_text(" ")
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip()


# Elements that may be within a word; all others separate words.
_INLINE = re.compile(r"</?(?:a|abbr|b|code|del|em|i|ins|kbd|s|span|strike|strong)(?:\s[^>]*)?>", re.IGNORECASE)
_ELEMENT = re.compile("<[^>]*>")


def plain_text(html: str) -> str:
    """The words of a body without marks, for counting, comparing and searching; 50 times as fast as `html_to_text`."""
    # Only up to the last ">": beyond it each "<" would be searched to the text's end in vain.
    ends = html.rfind(">") + 1
    return unescape(_ELEMENT.sub(" ", _INLINE.sub("", html[:ends])) + html[ends:])


class _Element(Tag):
    """An element that finds a parent by its name without Beautiful Soup's filters: markdownify asks each one for it."""

    def find_parent(self, name: Any = None, *rest: Any, **more: Any) -> Tag | None:
        if not isinstance(name, str) or rest or more:
            return super().find_parent(name, *rest, **more)
        return next((parent for parent in self.parents if parent.name == name), None)


class _Converter(MarkdownConverter):
    """Markdown without emphasis, escapes and image addresses."""

    def __init__(self, site: str) -> None:
        super().__init__(
            heading_style=ATX,
            bullets="-",
            strip=["b", "em", "i", "strong"],
            escape_asterisks=False,
            escape_underscores=False,
        )
        self._site = site.lower()

    def process_text(self, el: NavigableString, parent_tags: set[str] | None = None) -> str:
        if _LONG_BLANKS.search(el):
            shorter = NavigableString(_LONG_BLANKS.sub(" " * _MOST_BLANKS, el))
            el.replace_with(shorter)
            el = shorter
        text: str = super().process_text(el, parent_tags)  # type: ignore[misc]
        return text

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


@lru_cache
def _converter(site: str) -> _Converter:
    """A site's converter, which remembers how each kind of element is converted."""
    return _Converter(site)


def _leads_elsewhere(address: str, site: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and parts.hostname != site
    except ValueError:
        return False
