"""The page as `interank serve` has it, with a real judge behind it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from interank import Reranker
from tests.support import rule
from tests.support.browser import opened
from tests.support.serve_process import Running

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS[:4]]


def test_the_server_has_it_and_it_shows_the_rerankers_order(
    browser: Browser, tiny_adapter: Path, tmp_path: Path
) -> None:
    expected = [int(item.doc_id) for item in Reranker(tiny_adapter).rank(QUERY, TEXTS)]
    running = Running(tiny_adapter, tmp_path)
    try:
        found = opened(browser, running.url)
        found.page.fill("#query", QUERY)
        found.page.fill("#documents", "\n\n".join(TEXTS))
        found.page.fill("#explain", "1")
        found.page.click("#rank")
        expect(found.page.locator("#told")).to_have_text(re.compile("^Done"), timeout=20_000)
        rows = found.page.locator("#right-list .doc").evaluate_all("rows => rows.map(row => row.dataset.place)")
        assert [int(place) for place in rows] == expected
        assert found.console == []
    finally:
        running.end()
