"""Web pages that the user has, for the links in answers: found by address, cut into passages. Nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interank import plain_data, tables
from interank.errors import InputError
from interank.ir.bm25.scripts import count_words, cut_words
from interank.mining.rows import Tally
from interank.mining.streams import Table
from interank.mining.tables import kept_rows
from interank.mining.text import html_to_text
from interank.types import Document, Source
from interank.wording import counted

_HREF = re.compile(r"""href=["'](https?://[^"'\s<>]+)""", re.IGNORECASE)
_TRACKING = re.compile(r"(?:^|&)(?:utm_[a-z]+|gclid|fbclid)=[^&]*")
_PARAGRAPHS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was given; `url` is its own spelling of the address."""

    url: str
    text: str
    title: str = ""
    author: str = ""
    licence: str = ""


def links_to_pages(html: str) -> list[str]:
    """The addresses that a body links to, each once, in the form that `same_address` gives."""
    return list(dict.fromkeys(same_address(unescape(match[1])) for match in _HREF.finditer(html)))


def same_address(url: str) -> str:
    """An address without what makes no other page: scheme, `www.`, fragment, tracking, a slash at the end."""
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return url
    query = _TRACKING.sub("", parts.query).removeprefix("&")
    return f"{host}{parts.path.rstrip('/')}{'?' + query if query else ''}"


def read_pages(path: Path, wanted: Collection[str]) -> dict[str, Page]:
    """The pages among those in a JSONL file, or a folder of them, whose addresses are wanted; the first of each counts.

    Rows hold `url` and `text` or `html`, and may hold `title`, `author` and `licence`.

    Raises:
        InputError: There is no such file, or no page in it.
    """
    files = _files(path)
    found: dict[str, Page] = {}
    seen = 0
    for file in files:
        tally = Tally()
        for line, row in kept_rows(tables.Table(file)):
            if isinstance(row, ValueError):
                tally.skip(line, row)
                continue
            url, text, html = row.get("url"), row.get("text"), row.get("html")
            if not isinstance(url, str) or not isinstance(text if text is not None else html, str):
                tally.skip(line, ValueError("a page needs url, and text or html"))
                continue
            seen += 1
            address = same_address(url)
            if address not in wanted or address in found:
                continue
            try:
                shown = plain_data.text(text if text is not None else html)
                about = [_about(row, name) for name in ("title", "author", "licence")]
                found[address] = Page(plain_data.text(url), shown if text is not None else html_to_text(shown), *about)
            except ValueError as fault:
                tally.skip(line, fault)
        tally.warn(Table(file))
    if not seen:
        raise InputError(
            f"{path} has no page in its {counted(len(files), 'file')}; give rows with url, and text or html, "
            "or leave mining.pages out"
        )
    return found


def _about(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    try:
        return "" if value is None else plain_data.text(value)
    except ValueError as fault:
        raise ValueError(f"{name}: {fault}") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for pattern in ("*.jsonl", "*.jsonl.gz") for file in path.glob(pattern))
    if not files:
        raise InputError(
            f"{path} {'holds no .jsonl or .jsonl.gz' if path.is_dir() else 'does not exist'}; give mining.pages=PATH, "
            "pages as JSONL rows with url, and text or html"
        )
    return files


def passages(page: Page, words: int) -> Iterator[tuple[Document, Source]]:
    """The page in passages of at most so many words, cut between paragraphs where that is possible."""
    host = urlsplit(page.url).hostname or page.url
    source = Source(host, "", page.url, page.author, page.licence)
    for number, text in enumerate(_cut(page.text, words), start=1):
        yield Document(f"{page.url}#passage-{number}", text, page.title), source


def _cut(text: str, words: int) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for paragraph in _PARAGRAPHS.split(text):
        count = count_words(paragraph)
        if not count:
            continue
        if held and size + count > words:
            yield "\n\n".join(held)
            held, size = [], 0
        if count <= words:
            held.append(paragraph.strip())
            size += count
            continue
        # A paragraph that is too long loses its line breaks.
        yield from cut_words(paragraph, words)
    if held:
        yield "\n\n".join(held)
