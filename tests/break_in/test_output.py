"""Twenty payloads as sites, licences, names and texts: cards, reports and terminals show them and do not obey them."""

from __future__ import annotations

import pytest
import yaml

from interank import cards
from interank.cards import cell, name, table
from interank.redaction import shown

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
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_stays_within_its_sentence(payload: str) -> None:
    told = name(payload)
    assert "\n" not in told
    assert "<" not in told
    assert not {sign for sign in "\x1b\x9b\x07\x08\r\u202e\u2066" if sign in told}
    unescaped = told.replace("\\[", "").replace("\\]", "").replace("\\`", "").replace("\\|", "")
    assert not {sign for sign in "[]`|" if sign in unescaped}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cell_stays_within_its_table(payload: str) -> None:
    lines = table(("name", "number"), [(payload, 1), ("b", 2)]).split("\n")
    assert len(lines) == 4
    assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3, 3]
    assert "<" not in cell(payload)


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
