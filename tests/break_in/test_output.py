"""Payloads as sites, licences, names and texts: cards, reports and terminals show them and do not obey them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import unescape

import pytest
import yaml

from interank import cards
from interank.cards import cell, name, table
from interank.cli.ending import _Errors, _Output
from interank.evaluation import report, tables
from interank.evaluation.scoring import Results
from interank.redaction import shown


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of the report."""
    return tables.markdown([heads, *([str(each) for each in row] for row in rows)])


PAYLOADS = [
    "a\n---\nlicense: mit\n---\n",
    "a: b\n- c",
    "*anchor &alias !!python/object x",
    "{{7*7}} {% raw %}",
    "| broken | table |",
    "a\n\n# A heading",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<!-- hidden",
    "`code` ``` fence ```",
    "[ref]: http://evil.example",
    "<a href='http://evil.example'>x</a>",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31mred",
    "\u202ereversed\u2066",
    "a\rb\x08\x0bc",
    "'; DROP TABLE posts; --",
    "\ufeff\u200bzero width",
    "~~~\nfence\n~~~",
    "\\|",
    "ends in \\",
    "&lt;script&gt; &#60;b&#x3e; R&D",
    "\\[click\\](javascript:alert(1))",
    "\\`code\\`",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_stays_within_its_sentence(payload: str) -> None:
    told = name(payload)
    assert "\n" not in told
    assert "<" not in told
    assert not {sign for sign in "\x1b\x9b\x07\x08\r\u202e\u2066" if sign in told}
    assert not {sign for sign in "[]`|" if sign in unescaped(told)}


def unescaped(text: str) -> str:
    """What is left of Markdown when each backslash has taken the sign behind it, as its readers do."""
    return re.sub(r"\\(.)", "", text)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("written", [table, markdown], ids=["card", "report"])
def test_a_cell_stays_within_its_table(payload: str, written: Callable[..., str]) -> None:
    lines = written(("name", "number"), [(payload, 1), ("b", 2)]).split("\n")
    assert len(lines) == 4
    assert [unescaped(line).count("|") for line in lines] == [3, 3, 3, 3]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cell_holds_text_alone(payload: str) -> None:
    told = cell(payload)
    assert "<" not in told
    assert not {sign for sign in "[]`" if sign in unescaped(told)}
    # A reader takes the backslashes off, and has the text again.
    read = unescape(re.sub(r"\\(.)", r"\1", told))
    assert read == " ".join(shown(payload).split())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_report_holds_text_alone(payload: str) -> None:
    """Names of tasks, tags of runs and what is noted of them, as tables have names of systems."""
    metrics = {"first stage": {"nDCG@10": {"mean": 0.5, "low": 0.4, "high": 0.6}, "queries": 1, "tasks": {payload: {}}}}
    results = Results(metrics, {}, [])
    told = report.markdown(results, {}, ["nDCG@10"], {payload: f"run (tag {payload})"}, [payload], "")
    for line in told.splitlines():
        assert "<" not in line
        assert not {sign for sign in "[]`" if sign in unescaped(line)}, line


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cards_metadata_is_what_it_was(payload: str) -> None:
    card = cards.model_card([f"# {name(payload)}"], library="peft", tags=["x"], base=payload)
    _, about, *_ = str(card).split("---\n", 2)
    found = yaml.safe_load(str(card).removeprefix("---\n").partition("\n---\n")[0])
    assert about
    assert found["base_model"] == payload
    assert found["library_name"] == "peft"
    assert "license" not in found


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_terminal_is_not_commanded(payload: str) -> None:
    assert not {sign for sign in shown(payload) if (ord(sign) < 32 and sign not in "\t\n\r") or 127 <= ord(sign) < 160}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_standard_output_is_exact_but_on_a_terminal(payload: str, is_terminal: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]
    printed = _Output(stream, needed=True)
    print(payload, file=printed)
    assert stream.getvalue() == (shown(payload) if is_terminal else payload) + "\n"
    # Logs are read in terminals later.
    said = io.StringIO()
    print(payload, file=_Errors(said))
    assert said.getvalue() == f"{shown(payload)}\n"
