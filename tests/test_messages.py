"""What the product says reads plainly: every message is found for reading, and none has the patterns of riddles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from interank.wording import counted, listed
from tests import messages

ALL = messages.messages()

RIDDLES = {
    r"expected one of (?:these|them): ?\{": "a list that may be empty; wording.listed tells what stands there for none",
    r"\(none\)": "an empty list in a sentence",
    r"found no \S+ named": "what was found is named by what was not",
    r"expected one;": "what was expected is to be said",
    r"expected to be told": "who is told what?",
    r"base weights (?:%s|\{|none)": "say what the weights are in",
    r"^found (?:nothing|no \w+)(?: there)?(?:;|$)": "say what is missing, and where it is to be had",
    r"\{len\([^{}]*\)\} [a-z]+s\b(?! of\b)": "one of them reads wrong; wording.counted tells 1 token and 2 tokens",
}


def test_every_raised_sentence_is_collected() -> None:
    """Each `raise` with words in it stands among the messages, at its line or within it."""
    places = {message.place for message in ALL}
    for path in messages.sources():
        name = path.relative_to(messages.ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Raise) or node.exc is None:
                continue
            texts = [n for n in ast.walk(node.exc) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            if not any(len(re.findall(r"[a-z]{2,}", text.value)) > 2 for text in texts):
                continue
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            assert any(f"{name}:{line}" in places for line in lines), f"{name}:{node.lineno}"
    assert len(ALL) > 1000


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ('raise InputError(f"{path} holds no rows;" " give others")', "error", "{path} holds no rows; give others"),
        ("log.warning('%d of %d were read', 1, 2)", "log", "%d of %d were read"),
        ("print(f\"{n} rows{' and more' if m else ''} were read\")", "print", "{n} rows[ and more | ] were read"),
        (
            "hint = 'this is what helps' if known else 'nothing is known'",
            "text",
            "this is what helps | nothing is known",
        ),
        ("verb.add_argument('--out', help='where the output goes')", "help", "where the output goes"),
    ],
)
def test_a_message_is_read_with_its_values(source: str, kind: str, text: str) -> None:
    assert [(found.kind, found.text) for found in messages.of_source(source, "x.py")] == [(kind, text)]


def test_docstrings_and_single_words_are_no_messages() -> None:
    assert messages.of_source('"""It says what it is."""\nname = "a_key"\n', "x.py") == []


@pytest.mark.parametrize("pattern", RIDDLES)
def test_no_message_has_the_pattern_of_a_riddle(pattern: str) -> None:
    found = [f"{each.place}: {each.text}" for each in ALL if each.kind != "help" and re.search(pattern, each.text)]
    assert not found, f"{RIDDLES[pattern]}:\n" + "\n".join(found)


def test_the_patterns_find_what_they_are_for() -> None:
    seen = (
        "{folder}: found no split {split}; expected one of these: {', '.join(splits) or '(none)'}",
        "{a}: found no system named and the rerankers none",
        "found no corpus.jsonl; expected one; add it",
        "distilling %s into %s, base weights %s",
        "scifact: found nothing there; name it",
        "{len(pairs)} pairs are left",
        "{path}: expected to be told which",
        "found the split; expected one of these: {', '.join(splits)}",
    )
    for pattern in RIDDLES:
        assert any(re.search(pattern, text.removeprefix("scifact: ")) for text in seen), pattern


def test_the_file_to_read_has_all_of_them(tmp_path: Path) -> None:
    messages.main([str(tmp_path / "messages.txt")])
    written = (tmp_path / "messages.txt").read_text("utf-8")
    assert all(message.text in written for message in ALL)
    assert re.findall(r"^## (\w+)", written, re.MULTILINE) == ["error", "log", "print", "text", "help"]


def test_counts_and_lists_read_as_sentences() -> None:
    assert [counted(number, "token") for number in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]
    assert counted(3, "query", "queries") == "3 queries"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert listed((), "no split") == "no split"
    assert listed(["a", "b"], last="or") == "a or b"
