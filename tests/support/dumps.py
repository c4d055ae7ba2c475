"""A dump's posts as texts to be held against benchmarks, read with a plain XML parser, not with interank's reader."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from interank.ir.overlap import Checkable
from interank.mining import html_to_text


def checkables(folder: Path) -> list[Checkable]:
    """Each question, title first, followed by its answers."""
    site = folder.name
    rows = etree.parse(folder / "Posts.xml").getroot().findall("row")
    answers: dict[str, list[Checkable]] = {}
    for row in rows:
        if row.get("PostTypeId") == "2":
            parent, text = row.get("ParentId"), html_to_text(row.get("Body"), site=site)
            url = f"https://{site}/a/{row.get('Id')}"
            answers.setdefault(parent, []).append(Checkable(site, row.get("Id"), "document", text, parent, url))
    found = []
    for row in rows:
        if row.get("PostTypeId") == "1":
            number, text = row.get("Id"), f"{row.get('Title')}\n{html_to_text(row.get('Body'), site=site)}"
            found.append(Checkable(site, number, "question", text, number, f"https://{site}/questions/{number}"))
            found += answers.get(number, [])
    return found
