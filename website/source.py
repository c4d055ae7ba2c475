"""The site's source: docs/ as it stands, what lies beside it, and the pages made from the code, in one folder."""

from __future__ import annotations

import os.path
import re
import shutil
from pathlib import Path

from website import commands, keys, listed

ROOT = Path(__file__).resolve().parents[1]

BESIDE = {
    "README.md": "project/readme.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/RESULTS.md": "project/results.md",
}
"""Documents outside docs/ that the site has too, with their places in it."""

_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?(?P<after>\))")
# A page takes what is made from the code where it says `<!-- made: NAME -->`.
_MADE = re.compile(r"^<!-- made: (\S+) -->$", re.MULTILINE)
_FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)


def assemble(folder: Path) -> None:
    """Write the whole source of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    places = _places()
    for origin, place in places.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.endswith(".md"):
            text = _MADE.sub(lambda found: _made(found[1]), (ROOT / origin).read_text("utf-8"))
            target.write_text(_moved(text, origin, places), "utf-8")
        else:
            shutil.copyfile(ROOT / origin, target)
    _bring(folder, places)
    for stage in keys.RECIPES:
        (folder / "reference" / f"keys-{stage}.md").write_text(keys.page(stage), "utf-8")
    for name, page in (("commands", commands.page), ("rewards", listed.rewards), ("measures", listed.measures)):
        (folder / "reference" / f"{name}.md").write_text(page(), "utf-8")


def _places() -> dict[str, str]:
    """Where each file of the repository stands in the site."""
    docs = ROOT / "docs"
    found = {
        path.relative_to(ROOT).as_posix(): path.relative_to(docs).as_posix()
        for path in docs.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {**found, **BESIDE}


def _bring(folder: Path, places: dict[str, str]) -> None:
    """Copy the files that documents link to and that are no pages."""
    for origin in places:
        if not origin.endswith(".md"):
            continue
        for found in _LINK.finditer((ROOT / origin).read_text("utf-8")):
            path = ((ROOT / origin).parent / found["target"]).resolve()
            inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            if found["target"] and path.is_file() and inside not in places:
                target = folder / "files" / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def _made(name: str) -> str:
    made = {
        "recipes": listed.recipes,
        "recipes-24gb": lambda: listed.recipes_of("24 GB GPU"),
        "errors": listed.tree_of_errors,
    }
    return made[name]()


def _moved(text: str, origin: str, places: dict[str, str]) -> str:
    """The text with its links between documents pointing to their places in the site."""
    ends = [(found.start(), found.end()) for found in _FENCE.finditer(text)]

    def link(found: re.Match[str]) -> str:
        target = found["target"]
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        if any(start <= found.start() < end for start, end in ends):
            return found[0]
        path = ((ROOT / origin).parent / target).resolve()
        inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        here = Path(places[origin]).parent
        anchor = found["anchor"] or ""
        if inside in places:
            moved = _relative(places[inside], here)
        elif inside.startswith("docs/"):
            # A page that is made, or one that is not there: Sphinx warns of it.
            moved = _relative(inside.removeprefix("docs/"), here)
        elif path.is_file():
            # No page: it comes along to be looked at.
            moved = _relative(f"files/{inside}", here)
        else:
            raise SystemExit(f"{origin}: the link {target} leads nowhere")
        return f"{found['before']}{moved}{anchor}{found['after']}"

    return _LINK.sub(link, text)


def _relative(target: str, here: Path) -> str:
    return os.path.relpath(target, here).replace(os.sep, "/")
