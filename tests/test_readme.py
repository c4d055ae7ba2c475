"""What the documents show is what happens: their snippets run, their commands exist, their recipes pass.

In README.md, CONTRIBUTING.md and docs/, a fence marked `bash` or `python` is executed, top to bottom, in a folder that
holds copies of `recipes/`, `rewards/` and `data/`; the `python` fences of a file share their names. A fence below the
comment `<!-- not run: REASON -->` is not executed, but its `interank` lines still have to name a verb and options that
there are, and a recipe whose keys and values are right. For `heads.md` tiny models stand
there under the names of the released ones. Lines that set the project up (`make`, `git`, `cd`, `pip`) are not
executed, for they would start these tests again; their make targets have to exist.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from interank.cli.app import main
from interank.errors import RecipeError
from interank.recipe import load_recipe
from tests.support.preloaded import programs

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.is_file()]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))

EXECUTED = ("bash", "python")
# Needs a teacher's server; tests/howto runs it.
RUN_ELSEWHERE = ("support-tickets.md",)
# A snippet in another spelling of these would be passed over in silence.
MISSPELT = ("", "sh", "shell", "console", "shell-session", "py", "python3", "pycon")
SETS_UP = ("make", "git", "cd", "pip")
TAKE_A_RECIPE = ("generate", "distill", "rl", "evaluate", "run", "check")
SEPARATORS = (";", "|", "||", "&&", "&")

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w{}-]*)[^\n`]*\n(?P<body>.*?)^(?P=indent)(?P=ticks) *$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: \S.*? -->\s*\Z", re.DOTALL)


class Snippet(NamedTuple):
    document: Path
    line: int
    language: str
    text: str
    run: bool

    @property
    def where(self) -> str:
        return f"{self.document.name}:{self.line}"


def read_snippets(document: Path, text: str) -> list[Snippet]:
    snippets = []
    for fence in _FENCE.finditer(text):
        indent = re.compile(rf"^{fence['indent']}", re.MULTILINE)
        snippets.append(
            Snippet(
                document,
                text.count("\n", 0, fence.start("body")) + 1,
                fence["language"],
                indent.sub("", fence["body"]),
                not _NOT_RUN.search(text, 0, fence.start()),
            )
        )
    return snippets


@cache
def snippets(document: Path) -> list[Snippet]:
    return read_snippets(document, document.read_text("utf-8"))


def shell_lines(snippet: Snippet) -> Iterator[tuple[int, str]]:
    """The commands of a snippet, continued lines joined, each with its line in the document."""
    pending, start = "", 0
    for number, line in enumerate(snippet.text.splitlines(), snippet.line):
        start = start if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        if pending.strip() and not pending.lstrip().startswith("#"):
            yield start, pending
        pending = ""


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without redirections, comments and what joins the commands."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in SEPARATORS:
            yield words
            words = []
        elif set(word) <= set("<>&"):
            next(lexer, None)
        else:
            words.append(word)
    yield words


def commands(document: Path, program: str) -> Iterator[tuple[str, list[str]]]:
    """Where the document's bash snippets call the program, executed or not, and with which arguments."""
    for snippet in snippets(document):
        if snippet.language == "bash":
            for number, line in shell_lines(snippet):
                for words in simple_commands(line):
                    if words[:1] == [program]:
                        yield f"{document.name}:{number}", words[1:]


@cache
def help_of(*words: str) -> str:
    """What `--help` prints after these words; nothing if there is no such verb."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    return "" if ended.value.code else said.getvalue()


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder in which the documents' relative paths mean what they say, and may be written to."""
    for name in ("recipes", "rewards", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run_bash(snippet: Snippet, folder: Path) -> None:
    lines = [line for _, line in shell_lines(snippet) if line.split()[0] not in SETS_UP]
    path = os.pathsep.join([str(programs()), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{snippet.where} ends with {done.returncode}:\n{done.stdout}{done.stderr}"


def run_python(snippet: Snippet, namespace: dict[str, Any]) -> None:
    # The empty lines put the snippet where it stands in the document, so that tracebacks name the right line.
    source = "\n" * (snippet.line - 1) + snippet.text
    exec(compile(source, str(snippet.document), "exec", dont_inherit=True), namespace)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_snippets_run(document: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if document.name in RUN_ELSEWHERE:
        pytest.skip("its own test runs it")
    monkeypatch.chdir(workplace)
    if document.name == "heads.md":
        from tests.support.stand_ins import stand_ins

        stand_ins(workplace)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets(document):
        if snippet.run and snippet.language == "bash":
            run_bash(snippet, workplace)
        elif snippet.run and snippet.language == "python":
            run_python(snippet, namespace)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_snippets_say_what_they_are(document: Path) -> None:
    assert not [
        f"{snippet.where}: mark it bash, python, or text"
        for snippet in snippets(document)
        if snippet.language in MISSPELT
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_commands_exist(document: Path) -> None:
    faults = []
    for where, words in commands(document, "interank"):
        verbs = words[: 2 if words[:1] == ["recipes"] else 1]
        if words[:1] in (["--help"], ["--version"]):
            verbs = []
        if not help_of(*verbs):
            faults.append(f"{where}: there is no `interank {' '.join(verbs)}`")
            continue
        known = help_of() + help_of(*verbs)
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        faults += [
            f"{where}: `interank {' '.join(verbs)}` has no option {option}"
            for option in options
            if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known)
        ]
    assert not faults


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_recipes_pass(document: Path) -> None:
    if document.name in RUN_ELSEWHERE:
        pytest.skip("what its commands read is made by those before")
    faults = []
    made = set()
    for where, words in commands(document, "interank"):
        if words[:2] == ["recipes", "cp"]:
            made.add(words[-1])
        # Of a recipe that the reader copies and changes, nothing can be known here.
        elif len(words) > 1 and words[0] in TAKE_A_RECIPE and words[1] not in {"--help", *made}:
            overrides = [word for word in words[2:] if re.match(r"[a-z][\w.]*=", word)]
            # Whether what they name is there, each snippet that is executed shows by itself.
            try:
                load_recipe(words[1], overrides)
            except RecipeError as fault:
                faults.append(f"{where}: {fault}")
    assert not faults


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert not [
        f"{where}: make {word}"
        for where, words in commands(document, "make")
        for word in words
        if "=" not in word and not word.startswith("-") and word not in targets
    ]


def test_what_the_readme_calls_its_tests_is_what_has_to_pass_before_a_merge() -> None:
    steps = re.findall(r"^ *step \w+ (?:env \S+ )?make (.+)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    [tests] = [words for _, words in commands(ROOT / "README.md", "make") if words[0] == "test"]
    assert tests == ["test"]
    assert "test" in steps


EXAMPLE = """
```bash
# a comment
make test ARGS='-k "a b"'   # another
interank score \\
  q.tsv run.txt | head -1 && interank recipes ls > names
```
<!-- not run: takes an hour -->
```bash
interank run recipes/demo.yaml --out runs/demo
```
1. In a list:

   ```python
   if True:
       x = 1
   ```
"""


def test_the_reader_of_snippets() -> None:
    first, second, third = read_snippets(ROOT / "example.md", EXAMPLE)
    assert [first.line, second.line, third.line] == [3, 10, 15]
    assert [first.run, second.run, third.run] == [True, False, True]
    assert third.text == "if True:\n    x = 1\n"
    lines = list(shell_lines(first))
    assert [number for number, _ in lines] == [4, 5]
    words = [found for _, line in lines for found in simple_commands(line)]
    assert words == [
        ["make", "test", 'ARGS=-k "a b"'],
        ["interank", "score", "q.tsv", "run.txt"],
        ["head", "-1"],
        ["interank", "recipes", "ls"],
    ]
