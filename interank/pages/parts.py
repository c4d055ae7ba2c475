"""A page's style and programme from assets, their hashes for its policy, and text that shows what it hides."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

RANKING_STYLES = ("house.css", "rankings.css")
RANKING_SCRIPTS = ("text.js", "grades.js", "lines.js", "keys.js", "chosen.js")
"""What pages that show rankings side by side have in common."""

_SHARED = "interank.pages"
# What cannot be seen, or turns the text after it around: shown by its name instead.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def asset(*names: str, package: str = _SHARED) -> str:
    """The files on end, from the `assets` of the pages or of one package."""
    folder = files(package) / "assets"
    return "".join((folder / name).read_text("utf-8") for name in names)


def programme(*parts: str) -> str:
    """One script of all parts, which see each other and leave nothing in the window."""
    return f'"use strict";\n(() => {{\n{"".join(parts)}}})();\n'


def content_hash(content: str) -> str:
    """What a content security policy knows a style or script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}"


def visible(text: str) -> str:
    """The text with characters that cannot be seen, or that turn others around, written as U+ and their number."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))
