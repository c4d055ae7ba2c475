"""The list of parts is complete: whatever interank takes of the libraries' insides stands in it, and in the docs."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contracts.parts import PEFT, PRIVATE, TOGETHER, TRANSFORMERS, TRL

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "interank").rglob("*.py"))
LIBRARIES = ("trl", "transformers", "peft")
INNER = (*LIBRARIES, "accelerate")
"""Of torch only what starts processes is listed; its other modules are documented."""
_STARTING = ("torch.distributed.run", "torch.distributed.elastic")
# Of the standard library, the last three of argparse, which tells of its verbs and options in no other way; and torch's
# module of its compiler, which is documented by that name.
OTHERS = {
    "_replace",
    "_asdict",
    "_fields",
    "_exit",
    "_SubParsersAction",
    "_option_string_actions",
    "_subparsers",
    "_dynamo",
}
DOCUMENTED = {*(part.name for part in (*TRL, *TRANSFORMERS, *PEFT, *TOGETHER)), "_n_gpu", "_attn_implementation"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def deep_imports() -> Iterator[tuple[Path, str]]:
    """What is imported from the libraries' inner modules."""
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            module = str(getattr(node, "module", None))
            if isinstance(node, ast.ImportFrom) and (module.partition(".")[0] in INNER or module.startswith(_STARTING)):
                yield from ((path, f"{node.module}.{name.name}") for name in node.names if "." in str(node.module))


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Ours that extend a class of the libraries', their own extensions included."""
    known = {"GRPOTrainer", "SFTTrainer", "Trainer"}
    found: list[tuple[Path, ast.ClassDef]] = []
    for _ in range(3):
        found = [
            (path, node)
            for path in SOURCES
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ClassDef) and {base.id for base in node.bases if isinstance(base, ast.Name)} & known
        ]
        known |= {node.name for _, node in found}
    yield from found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def own_names() -> set[str]:
    """Private names that interank itself defines somewhere."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names - PRIVATE


def asked(node: ast.AST) -> str:
    """The attribute that is asked for, by its name or by `getattr` and `hasattr`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
        return str(getattr(node.args[1], "value", ""))
    return node.attr if isinstance(node, ast.Attribute) else ""


def test_what_comes_from_inner_modules_is_listed_and_comes_in_at_one_place() -> None:
    places = defaultdict(set)
    for path, name in deep_imports():
        places[name].add(path.name)
    listed = {part.label for part in (*TRL, *TRANSFORMERS, *PEFT, *TOGETHER)}
    assert {*places} <= listed
    assert not {name: found for name, found in places.items() if len(found) > 1}


def private_uses() -> Iterator[tuple[Path, str, bool]]:
    """Private names that are asked for, where, and whether of something else than an object of the class itself."""
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            name = asked(node)
            if name.startswith("_") and not name.startswith("__"):
                own = isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls", "super()")
                yield path, name, not own


def test_private_names_that_are_not_ours_are_listed() -> None:
    known = own_names() | OTHERS | PRIVATE
    assert not {(path.name, name) for path, name, _ in private_uses() if name not in known}


def test_a_private_name_is_asked_of_a_librarys_object_in_one_module() -> None:
    places = defaultdict(set)
    for path, name, of_others in private_uses():
        if name in PRIVATE and of_others:
            places[name].add(path.name)
    assert "_save_checkpoint" in places
    assert not {name: found for name, found in places.items() if len(found) > 1}
    assert "_metrics" not in places, "figures go through step_figures"


@pytest.mark.parametrize(("path", "node"), [*classes()], ids=lambda value: getattr(value, "name", None))
def test_what_our_trainers_override_is_listed(path: Path, node: ast.ClassDef) -> None:
    """A name of ours that a release takes up would be overridden unawares: it fails here."""
    kind = getattr(importlib.import_module(module_of(path)), node.name)
    theirs = [base for base in kind.__mro__ if base.__module__.partition(".")[0] in LIBRARIES]
    assert theirs
    names = {name for name in vars(kind) if not name.startswith("__")}
    assert {name for name in names if any(name in vars(base) for base in theirs)} <= PRIVATE


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_the_docs_list_it(name: str) -> None:
    pages = "".join((ROOT / "docs" / page).read_text("utf-8") for page in ("rl.md", "libraries.md"))
    assert f"`{name}`" in pages
