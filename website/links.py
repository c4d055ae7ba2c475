"""The links of the built site that leave it: a list for whoever tries them, and those that no browser could follow."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

_HOST = re.compile(r"(?=.{4,253}\Z)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")


def external(site: Path) -> dict[str, list[str]]:
    """Each address outside of the site, with the pages that link to it."""
    found: dict[str, list[str]] = {}
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text("utf-8"))
        for address in dict.fromkeys(page.addresses):
            found.setdefault(address, []).append(path.relative_to(site).as_posix())
    return dict(sorted(found.items()))


def malformed(address: str) -> bool:
    """Whether an address is none that a browser could follow; nothing is fetched."""
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:
        return True
    return not fine or not _HOST.fullmatch(parts.hostname or "") or re.search(r"[\s<>\"`{}|\\^]", address) is not None


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") or ""
        if tag == "a" and (re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", target) or target.startswith("//")):
            self.addresses.append(target)
