"""Pictures of pages have each width, light and dark."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from website.pictures import taken

PAGE = """<!doctype html><meta name="color-scheme" content="light dark"><title>x</title>
<p>above</p><p id="part" style="height: 40px; margin: 0">part</p>"""


def grey(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L")


def test_a_page_and_its_part_are_taken_in_each_width_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    tops = [*taken(browser, str(page), tmp_path, "top")]
    assert [path.name for path in tops] == [f"top-{w}-{s}.png" for w in (1400, 400) for s in ("light", "dark")]
    images = [grey(path) for path in tops]
    assert [image.size for image in images] == [(1400, 1200)] * 2 + [(400, 900)] * 2
    corners = [image.getpixel((0, 0)) for image in images]
    assert corners[0] == corners[2] == 255 and corners[1] == corners[3] < 64
    part = next(taken(browser, f"{page}#part", tmp_path, "part"))
    assert grey(part).height == 40
