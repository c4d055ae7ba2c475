"""Collects what the product says, for reading: `python -m tests.messages [FILE]` writes every message with its place.

A message is a text of several words under `interank/` or `rewards/` that is no docstring: of an error, of the log,
printed, of the help, or made for one of these elsewhere. Values stand in braces; `a | b` are alternatives.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("interank", "rewards")
LOG = {"debug", "info", "warning", "error", "exception", "warn"}
ARGPARSE = {"add_argument", "add_parser", "add_subparsers", "ArgumentParser", "Parser"}


class Message(NamedTuple):
    """A text and where it stands."""

    place: str
    kind: str
    """`error`, `log`, `print`, `help` or `text`."""
    text: str


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def messages() -> list[Message]:
    """All of them, file by file."""
    return [found for path in sources() for found in of_file(path)]


def of_file(path: Path) -> list[Message]:
    return of_source(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())


def of_source(source: str, name: str) -> list[Message]:
    tree = ast.parse(source)
    docstrings = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return list(_below(tree, name, "text", docstrings))


def _below(node: ast.AST, name: str, kind: str, docstrings: set[int]) -> Iterator[Message]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if _is_text(node):
        text = rendered(node)
        if len(text.split()) > 2 or (kind in ("error", "log", "print") and re.search(r"[a-z]{2}", _plain(node))):
            yield Message(f"{name}:{node.lineno}", kind, " ".join(text.split()))  # type: ignore[attr-defined]
        return
    if isinstance(node, ast.Call):
        kind = _kind(node) or kind
    for child in ast.iter_child_nodes(node):
        yield from _below(child, name, kind, docstrings)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    return isinstance(node, ast.JoinedStr)


def _kind(call: ast.Call) -> str | None:
    function = call.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called.endswith(("Error", "Exception")) or called in ("SystemExit", "refuse"):
        return "error"
    if isinstance(function, ast.Attribute) and called in LOG:
        return "error" if called == "error" and ast.unparse(function.value) in ("self", "options.parser") else "log"
    if called in ("print", "say_next"):
        return "print"
    return "help" if called in ARGPARSE else None


def rendered(node: ast.AST) -> str:
    """The text with values in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(rendered, node.values))
    if isinstance(node, ast.FormattedValue):
        value = node.value
        return (
            f"[{rendered(value)}]" if isinstance(value, ast.IfExp) and _is_text(value) else f"{{{ast.unparse(value)}}}"
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return rendered(node.left) + rendered(node.right)
    if isinstance(node, ast.IfExp):
        return f"{rendered(node.body)} | {rendered(node.orelse)}"
    return f"{{{ast.unparse(node)}}}"


def _plain(node: ast.AST) -> str:
    return "".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def main(arguments: list[str]) -> None:
    lines: list[str] = []
    for kind in ("error", "log", "print", "text", "help"):
        found = [message for message in messages() if message.kind == kind]
        lines += [f"## {kind}: {len(found)} messages", ""]
        lines += [f"{message.place}\n    {message.text}" for message in found]
        lines += [""]
    text = "\n".join(lines)
    if arguments:
        Path(arguments[0]).write_text(text, "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
