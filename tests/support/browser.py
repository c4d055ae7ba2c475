"""A headless Chromium, where there is one, that says what a page printed to its console and asked of the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

# axe-core calls its graver findings so.
_GRAVE = ("serious", "critical")
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Opened:
    """A page in the browser, and what it did besides showing itself."""

    page: Page
    console: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, with a profile of its own; skips the test where there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here to open the report in; `make browser` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()


def opened(browser: Browser, place: Path | str, **settings: Any) -> Opened:
    """The file, or what a server has at a URL, in a new context, when it is ready."""
    found = loaded(browser, place, **settings)
    found.page.wait_for_selector("html.ready")
    return found


def loaded(browser: Browser, place: Path | str, **settings: Any) -> Opened:
    """The file, or what a server has at a URL, in a new context."""
    is_file = isinstance(place, Path)
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, "offline": is_file, **settings})
    found = Opened(context.new_page())
    found.page.set_default_timeout(60_000)
    found.page.on("console", lambda message: found.console.append(message.text))
    found.page.on("pageerror", lambda error: found.console.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.goto(place.resolve().as_uri() if isinstance(place, Path) else place)
    return found


def grave_faults(page: Page) -> list[Any]:
    """What keeps people from using the page, as axe-core finds it: the rules that are broken, and where."""
    faults = [fault for fault in Axe().run(page).response["violations"] if fault["impact"] in _GRAVE]
    return [(fault["id"], [node["html"] for node in fault["nodes"]][:3]) for fault in faults]
