"""Builds a page's style and script from assets, hashes them for its policy, and makes hidden characters visible."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

RANKING_STYLES = ("house.css", "rankings.css")
RANKING_SCRIPTS = ("text.js", "grades.js", "lines.js", "keys.js", "chosen.js")
"""The scripts of pages that show rankings side by side."""

_SHARED = "interank.pages"
# Characters that are invisible or change the text's direction; they are shown by their code points.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def asset(*names: str, package: str = _SHARED) -> str:
    """The files concatenated, from the `assets` folder of the pages or of another package."""
    folder = files(package) / "assets"
    return "".join((folder / name).read_text("utf-8") for name in names)


def programme(*parts: str) -> str:
    """One script of all parts, which share a scope and define no global variables."""
    return f'"use strict";\n(() => {{\n{"".join(parts)}}})();\n'


def content_hash(content: str) -> str:
    """The hash by which a content security policy allows a style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}"


def visible(text: str) -> str:
    """The text with invisible and direction-changing characters written as `[U+...]`."""
    return _UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", str(text))
