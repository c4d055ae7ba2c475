"""Your own copies of web pages that answers link to: looked up by address, split into passages. Nothing is fetched."""

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
    """A page from a file; `url` is the address as the file spells it."""

    url: str
    text: str
    title: str = ""
    author: str = ""
    licence: str = ""


def links_to_pages(html: str) -> list[str]:
    """The addresses that a body links to, each once, normalized by `same_address`."""
    return list(dict.fromkeys(same_address(unescape(match[1])) for match in _HREF.finditer(html)))


def same_address(url: str) -> str:
    """An address without the parts that do not change the page: scheme, `www.`, fragment, tracking, final slash."""
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return url
    query = _TRACKING.sub("", parts.query).removeprefix("&")
    return f"{host}{parts.path.rstrip('/')}{'?' + query if query else ''}"


def read_pages(path: Path, wanted: Collection[str]) -> dict[str, Page]:
    """Read the wanted pages from a JSONL file or a folder of such files; the first page of each address counts.

    Rows have `url` and `text` or `html`, and may have `title`, `author` and `licence`.

    Raises:
        InputError: There is no such file, or no page in it.
    """
    files = _files(path)
    pages: dict[str, Page] = {}
    count = 0
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
            count += 1
            address = same_address(url)
            if address not in wanted or address in pages:
                continue
            try:
                body = plain_data.text(text if text is not None else html)
                details = [_optional_text(row, name) for name in ("title", "author", "licence")]
                pages[address] = Page(plain_data.text(url), body if text is not None else html_to_text(body), *details)
            except ValueError as fault:
                tally.skip(line, fault)
        tally.warn(Table(file))
    if not count:
        raise InputError(
            f"{path} has no page in its {counted(len(files), 'file')}; give rows with url, and text or html, "
            "or leave mining.pages out"
        )
    return pages


def _optional_text(row: Mapping[str, Any], name: str) -> str:
    cell = row.get(name)
    try:
        return "" if cell is None else plain_data.text(cell)
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
    """Split a page into passages of at most `words` words, between paragraphs where possible."""
    host = urlsplit(page.url).hostname or page.url
    source = Source(host, "", page.url, page.author, page.licence)
    for number, text in enumerate(_cut(page.text, words), start=1):
        yield Document(f"{page.url}#passage-{number}", text, page.title), source


def _cut(text: str, words: int) -> Iterator[str]:
    paragraphs: list[str] = []
    size = 0
    for paragraph in _PARAGRAPHS.split(text):
        count = count_words(paragraph)
        if not count:
            continue
        if paragraphs and size + count > words:
            yield "\n\n".join(paragraphs)
            paragraphs, size = [], 0
        if count <= words:
            paragraphs.append(paragraph.strip())
            size += count
            continue
        # A paragraph that is too long loses its line breaks.
        yield from cut_words(paragraph, words)
    if paragraphs:
        yield "\n\n".join(paragraphs)
