"""The built site in a real browser: its front page answers five questions, and it is searched without a network.

`make docs` builds it into build/docs; INTERANK_DOCS names another place, as `.ci/run` does.
"""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import loaded
from website.source import ROOT

SITE = Path(os.environ.get("INTERANK_DOCS", ROOT / "build" / "docs"))
pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built (make docs)")

QUESTIONS = {
    "What can a 24 GB card train, and how long does it take?": ("Train on a 24 GB card, with memory", "QLoRA on 24 GB"),
    "How do I use the labels, clicks or scores that I have?": (
        "Train on labels or clicks that I have",
        "Labels or clicks I have",
    ),
    "What does label_mass mean?": ("How to read label_mass", "How the score works"),
    "How do I add a reward?": ("Add a reward of my own", "A reward of my own"),
    "What is the score?": ("How the score works", "How the score works"),
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()


def test_the_front_page_answers_five_questions_and_leads_on_in_a_click(browser: Browser) -> None:
    page = loaded(browser, SITE / "index.html").page
    contents = page.locator("#pst-page-toc-nav").inner_text()
    for question, (link, title) in QUESTIONS.items():
        assert question in contents
        page.get_by_role("link", name=link, exact=True).first.click()
        assert page.locator("h1").inner_text().startswith(title)
        page.go_back()
    page.context.close()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("place", ["file", "server"])
def test_it_is_searched_from_a_file_and_from_a_server(browser: Browser, served: str, place: str, width: int) -> None:
    start = SITE / "index.html" if place == "file" else served
    shown = loaded(browser, start, viewport={"width": width, "height": 900})
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".search-button:visible, .search-button__button:visible").first.click()
    page.locator("input[type=search]:visible").first.fill("label_mass")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li")
    assert "How the score works" in page.locator("#search-results li a").all_inner_texts()
    assert [url for url in shown.asked if not url.startswith(("file:", "data:", "http://127.0.0.1:"))] == []
    page.context.close()
