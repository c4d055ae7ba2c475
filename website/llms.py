"""`llms.txt`: the site's pages in a list, each with its first sentence, for programs that read instead of people."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = """\
# interank

> Trains small language models that reason about relevance: a reranker that grades a document 0, 1 or 2 for a query,
> scores it, and says why. Python 3.11 and later, one command `interank`, recipes in YAML, rewards as files. Apache-2.0.
"""
_PARTS = {"": "Start", "howto": "How-tos", "reference": "Reference", "explanation": "Explanation", "project": "Project"}


def index(source: Path) -> str:
    """The list, from the pages of the assembled source."""
    parts: dict[str, list[str]] = {name: [] for name in _PARTS}
    for path in sorted(source.rglob("*.md")):
        name = path.relative_to(source)
        top = name.parts[0] if len(name.parts) > 1 else ""
        if top in parts:
            title, sentence = _opening(path.read_text("utf-8"))
            parts[top].append(f"- [{title}]({name.with_suffix('.html').as_posix()}): {sentence}")
    return "\n".join(
        [_HEAD, *(f"## {_PARTS[name]}\n\n" + "\n".join(rows) + "\n" for name, rows in parts.items() if rows)]
    )


def _opening(text: str) -> tuple[str, str]:
    title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), "")
    body = text.partition(f"# {title}")[2]
    paragraphs = [each for each in re.split(r"\n\s*\n", body) if re.match(r"\s*(?!```)[A-Z`*\[]", each)]
    words = " ".join(paragraphs[0].split()) if paragraphs else ""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", words)
    # What a list or a block follows ends with a colon, which announces nothing here.
    return title, re.sub(r":$", ".", re.split(r"(?<=[\w)`*][.?])\s", plain)[0]) if plain else ""
