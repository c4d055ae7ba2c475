"""Pictures of pages, for the documents and to look at: `python -m website.pictures OUT rl=runs/demo/rl/report.html`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

SIZES = {1400: 1200, 400: 900}
"""How high a picture is, by its width in pixels."""
SCHEMES = ("light", "dark")


def taken(browser: Browser, page: str, out: Path, name: str, *, whole: bool = False) -> Iterator[Path]:
    """A picture at each width, light and dark: of what `#PART` behind the page's address names, or of its top.

    Args:
        browser: Chromium.
        page: A file, or the address of what a server shows.
        out: Where the pictures go, as `NAME-WIDTH-SCHEME.png`.
        name: What they are called.
        whole: From the page's top to its end.
    """
    place, _, part = page.partition("#")
    address = place if "://" in place else Path(place).resolve().as_uri()
    for width, height in SIZES.items():
        for scheme in SCHEMES:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            shown = context.new_page()
            shown.goto(address, wait_until="networkidle")
            path = out / f"{name}-{width}-{scheme}.png"
            if part:
                shown.locator(f"#{part}").screenshot(path=path)
            else:
                shown.screenshot(path=path, full_page=whole)
            context.close()
            with Image.open(path) as image:
                # 256 colours are enough for text and lines, and take a third of the space.
                fewer = image.convert("RGB").quantize(256)
            fewer.save(path, optimize=True)
            yield path


def main() -> int:
    """Take them all, and name each file."""
    parser = argparse.ArgumentParser("website.pictures", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("pages", nargs="+", metavar="NAME=PAGE", help="a file or an address, of which #PART is shown")
    parser.add_argument("--whole", action="store_true", help="each page to its end")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for each in options.pages:
            name, _, page = each.partition("=")
            for path in taken(browser, page, options.out, name, whole=options.whole):
                print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
