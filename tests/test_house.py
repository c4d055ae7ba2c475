"""The rules of the house that a program can hold: sizes, names, floors, and a door that opens at once."""

from __future__ import annotations

import ast
import os
import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = sorted([*(ROOT / "interank").rglob("*.py"), *(ROOT / "rewards").rglob("*.py")])
PACKAGES = [path for path in SOURCES if path.name == "__init__.py"]

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
MAX_STAGE_LINES = 150
# Of a processor, which others on the machine do not use up as they do the clock's.
MAX_HELP_SECONDS = 0.5
VERBS = (
    "generate",
    "distill",
    "rl",
    "evaluate",
    "run",
    "compare",
    "fit",
    "rerank",
    "serve",
    "recipes",
    "check",
    "score",
    "merge",
    "check-parity",
    "attack",
    "artifacts",
    "watch",
    "completion",
)
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "handler", "handlers", "misc"}
# The last line of the command line may catch everything: it turns what is left into one sentence and an exit status.
# What a user's own file raises may be anything, and what reads tokenizers raises Exception itself.
# The engine's thread hands whatever a step raised to the requests that it was computed for. Whatever one raised,
# a server tells its client of it in a sentence, and answers the others.
CATCHES_ALL = (
    "interank/cli/app.py",
    "interank/rewards.py",
    "interank/engines/export_engine.py",
    "interank/engines/models.py",
    "interank/serving/middleware.py",
    "interank/serving/ranking.py",
    "interank/serving/schedule.py",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield f"{named(path)}:{node.lineno} {node.name}", node


def parameters(function: Function) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    names = [argument.arg for argument in every if argument is not None]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def handlers(path: Path) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            yield f"{named(path)}:{node.lineno}", node


def caught(handler: ast.ExceptHandler) -> set[str]:
    """The names of the exceptions it catches; of a bare `except`, the one that this amounts to."""
    if handler.type is None:
        return {"BaseException"}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def test_the_sources_are_found() -> None:
    assert ROOT / "interank" / "judging.py" in SOURCES
    assert any(path.parent.name == "rewards" for path in SOURCES)


def test_the_index_of_test_support_names_every_module() -> None:
    folder = ROOT / "tests" / "support"
    index = ast.get_docstring(tree(folder / "__init__.py")) or ""
    indexed = re.findall(r"^    (\w+): ", index, re.MULTILINE)
    assert sorted(indexed) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def test_no_two_test_files_share_a_name() -> None:
    # Collected in one run, the second of the two is an error.
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = [path.name for path in tests]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_files_are_short() -> None:
    sizes = {named(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert not {name: lines for name, lines in sizes.items() if lines > MAX_FILE_LINES}


def test_stages_are_short_and_told_once() -> None:
    stages = sorted((ROOT / "interank" / "stages").glob("*.py"))
    sizes = {path.stem: len(path.read_text("utf-8").splitlines()) for path in stages}
    assert not {name: lines for name, lines in sizes.items() if lines > MAX_STAGE_LINES}


def test_functions_are_short() -> None:
    sizes = {
        where: (node.end_lineno or node.lineno) - node.lineno + 1 for path in SOURCES for where, node in functions(path)
    }
    assert not {where: lines for where, lines in sizes.items() if lines > MAX_FUNCTION_LINES}


def test_functions_take_few_parameters() -> None:
    taken = {where: parameters(node) for path in SOURCES for where, node in functions(path)}
    assert not {where: names for where, names in taken.items() if len(names) > MAX_PARAMETERS}


def bundles(function: Function) -> list[str]:
    """The parameters that are tuples of different things, which would stand there by name."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [item.arg for item in every if item.annotation is not None and _is_bundle(item.annotation)]


def _is_bundle(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.BinOp):
        return _is_bundle(annotation.left) or _is_bundle(annotation.right)
    if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "tuple"):
        return False
    kinds = {ast.unparse(item) for item in getattr(annotation.slice, "elts", ())}
    return len(kinds) > 1 and "..." not in kinds


@pytest.mark.parametrize(
    ("annotation", "is_bundle"),
    [
        ("tuple[list[str], dict[str, int], float]", True),
        ("tuple[int, str] | None", True),
        ("tuple[float, float]", False),
        ("tuple[str, ...]", False),
        ("Sequence[tuple[str, Path]]", False),
    ],
)
def test_a_bundle_is_told_from_a_pair_and_from_rows(annotation: str, is_bundle: bool) -> None:
    [function] = ast.parse(f"def given(first: int, second: {annotation}): ...").body
    assert isinstance(function, ast.FunctionDef)
    assert bundles(function) == (["second"] if is_bundle else [])


def test_parameters_are_not_bundled_in_tuples() -> None:
    found = {where: bundles(node) for path in SOURCES for where, node in functions(path)}
    assert not {where: names for where, names in found.items() if names}


def test_every_module_opens_with_a_sentence() -> None:
    assert not [named(path) for path in SOURCES if not ast.get_docstring(tree(path))]


def test_except_names_its_exception() -> None:
    everything = {"Exception", "BaseException"}
    found = [
        where
        for path in SOURCES
        if named(path) not in CATCHES_ALL
        for where, handler in handlers(path)
        if caught(handler) & everything
    ]
    suppressed = [
        f"{named(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("suppress")
        and any(ast.unparse(argument) in everything for argument in node.args)
    ]
    assert not found + suppressed


def test_no_handler_only_passes() -> None:
    assert not [
        where
        for path in SOURCES
        for where, handler in handlers(path)
        if named(path) not in CATCHES_ALL and all(_does_nothing(statement) for statement in handler.body)
    ]


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def test_only_the_command_line_prints() -> None:
    assert not [
        f"{named(path)}:{node.lineno}"
        for path in SOURCES
        if not named(path).startswith("interank/cli/")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_names_say_something() -> None:
    parts = {path: set(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    assert not [named(path) for path, names in parts.items() if names & EMPTY_NAMES]


def isort_order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: the order that ruff's RUF022 writes."""
    rank = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return rank, name


@pytest.mark.parametrize("path", PACKAGES, ids=named)
def test_all_agrees_with_what_the_package_offers(path: Path) -> None:
    declared: list[str] = []
    offered: set[str] = set()
    body = tree(path).body
    # What a package imports for the type checker alone it offers by its __getattr__, to those who ask.
    later = [node for given in body if isinstance(given, ast.If) for node in given.body]
    for node in [*body, *later]:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            # What comes from elsewhere (typing, pathlib) is used here, not offered.
            if node.level or (node.module or "").startswith("interank"):
                offered |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, Function | ast.ClassDef):
            offered.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names and node.value is not None:
                declared = list(ast.literal_eval(node.value))
            offered |= names
    assert set(declared) == {name for name in offered if not name.startswith("_")}
    assert declared == sorted(declared, key=isort_order)


def contract(name: str) -> dict[str, list[str]]:
    [found] = [entry for entry in PYPROJECT["tool"]["importlinter"]["contracts"] if entry["name"] == name]
    return found


IMPORTS = """
import importlib, sys
heavy = set({heavy!r})
for module in {modules!r}:
    importlib.import_module(module)
    if found := sorted(heavy & set(sys.modules)):
        sys.exit(f"importing {{module}} loads {{', '.join(found)}}")
"""


def test_nothing_heavy_is_imported_at_the_door() -> None:
    """The contract in pyproject reads imports as written; this sees what they load, dependencies' own imports too."""
    commands = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "interank" / "cli").glob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    light = contract("No deep learning below the mezzanine, nor at the door")
    modules = [*light["source_modules"], *commands]
    assert {"interank.recipe", "interank.cli.app"} <= set(modules)
    script = IMPORTS.format(heavy=light["forbidden_modules"], modules=modules)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def console_script() -> Path:
    """The `interank` command of the environment that runs the tests."""
    script = Path(sys.executable).with_name("interank")
    assert script.is_file(), f"{script} is missing; `make install` makes it"
    return script


def test_help_lists_every_verb() -> None:
    done = subprocess.run([console_script(), "--help"], capture_output=True, text=True, check=True)
    assert not [verb for verb in VERBS if not re.search(rf"\b{verb}\b", done.stdout)]


@pytest.mark.parametrize("verb", ["", *VERBS], ids=lambda verb: verb or "interank")
def test_help_answers_at_once(verb: str) -> None:
    command = [str(console_script()), *([verb] if verb else []), "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MAX_HELP_SECONDS


def test_no_task_leans_on_another() -> None:
    folder = ROOT / "interank" / "tasks"
    registry = next(
        node
        for node in ast.parse((folder / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "NAMES"
    )
    names = ast.literal_eval(registry.value)
    assert {"judge", "order", "head"} <= {*names}
    # What any reranker counts of its answers has the repairs of lists; exports, which no task imports, are judges'.
    allowed = {("ranks", "interank.tasks.order.ordering"), ("exported_judge", "interank.tasks.judge.forms")}
    leaning = []
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("interank.tasks."):
                continue
            task = str(node.module).split(".")[2]
            if task in names and task != own and (own, node.module) not in allowed:
                leaning.append((own, node.module))
    # What tasks share knows none of them either, so that no way from one to another leads through it.
    assert leaning == []


def test_the_floors_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    # import-linter draws with box characters, which a C locale cannot encode.
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
