"""The page of the server in a real browser: everything that it offers, done by hand and by keys."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from interank.serving.page import page as the_page
from tests.support.answering import Answering, answering
from tests.support.browser import Opened, grave_faults, opened
from tests.support.serve_process import ROOT

MARKUP = '<img src=x onerror="window.broken = 1"><script>window.broken = 1</script> & \''
DOCUMENTS = ["Rain falls.", "The check valve leaks, so water runs back.", "A pump has a float.", "No.", "Five 🐟."]


def result(index: int, *chances: float, **more: Any) -> dict[str, Any]:
    score = math.log((chances[1] + 2 * chances[2]) / (2 * chances[0] + chances[1]))
    return {
        "index": index,
        "relevance_score": 1 / (1 + math.exp(-score)),
        "raw_score": score,
        "grade": chances.index(max(chances)),
        "probabilities": list(chances),
        "label_mass": 0.987,
        **more,
    }


RANKED = [
    result(1, 0.02, 0.08, 0.9),
    result(2, 0.1, 0.6, 0.3, truncated=41),
    result(0, 0.7, 0.2, 0.1, label_mass=0.31),
    result(4, 0.8, 0.15, 0.05),
    result(3, 0.9, 0.08, 0.02),
]
WHY = "It names “check valve leaks” and “the pump is broken” as causes."
EXPLAINED = {
    "explanation": WHY,
    "quotes": [
        {"text": "check valve leaks", "start": 9, "end": 28, "found": True, "spans": [{"start": 4, "end": 21}]},
        {"text": "the pump is broken", "start": 33, "end": 53, "found": False, "spans": []},
    ],
}


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as found:
        found.results = {"general": RANKED, "legal": RANKED[::-1]}
        found.explanations = {1: EXPLAINED}
        yield found


@pytest.fixture
def shown(browser: Browser, server: Answering) -> Iterator[Opened]:
    found = opened(browser, server.url)
    yield found
    # Whatever a test did, the page said nothing to the console and asked nobody else.
    assert found.console == []
    assert [url for url in found.asked if not url.startswith((server.url, "data:"))] == []
    found.page.context.close()


def give(page: Page, documents: Sequence[str] = DOCUMENTS, query: str = "why does the pump run?") -> None:
    page.fill("#query", query)
    page.fill("#documents", "\n\n".join(documents))


def rank(page: Page) -> None:
    page.click("#rank")
    expect(page.locator("#told")).to_have_text(re.compile("^Done"))


def order(page: Page, side: str = "right") -> list[int]:
    rows = page.locator(f"#{side}-list .doc")
    return [int(place) for place in rows.evaluate_all("rows => rows.map(row => row.dataset.place)")]


def test_a_ranking_tells_moves_grades_scores_time_and_tokens(shown: Opened, server: Answering) -> None:
    page = shown.page
    give(page)
    page.fill("#explain", "0")
    rank(page)
    assert server.asked[0] == {
        "model": "general",
        "query": "why does the pump run?",
        "documents": DOCUMENTS,
        "mode": "score",
        "stream": True,
    }
    assert order(page) == [1, 2, 0, 4, 3] and order(page, "left") == [0, 1, 2, 3, 4]
    moves = page.locator("#right-list .move > span:first-child").all_text_contents()
    assert moves == ["▲1", "▲1", "▼2", "▲1", "▼1"]
    assert page.locator("#right-list .gold").all_text_contents() == ["2", "1", "0", "0", "0"]
    scores = [float(text) for text in page.locator("#right-list .number").all_text_contents()]
    assert scores == pytest.approx([each["relevance_score"] for each in RANKED], abs=6e-4)
    parts = page.locator("#right-list .chances").first.evaluate(
        "bar => [...bar.children].map(part => part.getBoundingClientRect().width / bar.getBoundingClientRect().width)"
    )
    assert parts == pytest.approx([0.02, 0.08, 0.9], abs=0.02)
    told = page.locator("#told").inner_text()
    assert "0.50 s on the server (0.13 s waiting)" in told and "1,234 tokens read, 56 written" in told
    # The best one is open already, with its table and label mass.
    assert "rank 1, score 0.9400, s 2.752" in page.locator("#reading section p").first.inner_text()
    assert page.locator("#reading .grades dd").all_text_contents() == ["0.020", "0.080", "0.900"]
    assert page.locator("#reading .mass").inner_text() == "label mass 0.987"
    page.locator("#right-list .doc").nth(2).click()
    assert "hardly about to grade" in page.locator("#reading .mass.low").inner_text()


def test_explanations_grow_and_their_quotes_are_looked_up(shown: Opened, server: Answering) -> None:
    page = shown.page
    server.pause = 0.15
    give(page)
    page.click("#rank")
    growing = page.locator("#reading blockquote.caret")
    expect(growing).to_have_text(re.compile("^It names"))
    assert len(growing.inner_text()) < len(WHY)
    assert page.locator("#right-list .flag.writing").count() == 1
    expect(page.locator("#told")).to_have_text(re.compile("^Done"))
    assert (page.locator("#reading blockquote").text_content() or "").replace(" (not in the document)", "") == WHY
    assert page.locator("#reading blockquote mark.found").inner_text() == "“check valve leaks”"
    assert page.locator("#reading blockquote mark.missing").inner_text() == "“the pump is broken”"
    assert "(not in the document)" in (page.locator("#reading blockquote").text_content() or "")
    assert page.locator("#reading .text mark.found").inner_text() == "check valve leaks"
    assert page.locator("#right-list .flag.bad").count() == 1
    assert "1 explained" in page.locator("#told").inner_text()


def test_spans_count_code_points_of_the_text_without_its_title(shown: Opened, server: Answering) -> None:
    page = shown.page
    said = {
        "explanation": "🐟🐟 “🐟.”",
        "quotes": [{"start": 3, "end": 7, "found": True, "spans": [{"start": 5, "end": 7}]}],
    }
    server.results, server.explanations = {"general": [result(4, 0.1, 0.1, 0.8)]}, {4: said}
    give(page)
    page.fill("#documents", json.dumps([*DOCUMENTS[:4], {"text": DOCUMENTS[4], "title": "A title"}]))
    rank(page)
    assert page.locator("#reading blockquote mark").inner_text() == "“🐟.”"
    assert page.locator("#reading .text mark").inner_text() == "🐟."


def test_what_was_cut_is_marked(shown: Opened, server: Answering) -> None:
    page = shown.page
    server.whole = {"meta": {"warnings": ["documents cut to the model's length: 1 of 5"]}}
    give(page)
    rank(page)
    row = page.locator('#right-list .doc[data-place="2"]')
    assert "cut by 41 tokens" in (row.text_content() or "")
    assert page.locator("#warnings li").all_text_contents() == ["documents cut to the model's length: 1 of 5"]
    row.click()
    assert "did not read the last 41 tokens" in page.locator("#reading .cut").inner_text()


def test_stop_ends_it_and_keeps_what_is_there(shown: Opened, server: Answering) -> None:
    page = shown.page
    server.pause = 0.3
    give(page)
    page.click("#rank")
    expect(page.locator("#reading blockquote.caret")).to_be_visible()
    page.click("#stop")
    expect(page.locator("#told")).to_have_text(re.compile("^Stopped"))
    assert order(page) == [1, 2, 0, 4, 3] and page.locator("#stop").is_disabled()
    for _ in range(40):
        if server.left:
            break
        page.wait_for_timeout(100)
    assert server.left == 1


def test_two_stand_side_by_side(shown: Opened, server: Answering) -> None:
    page = shown.page
    give(page)
    page.check("#compare")
    page.select_option("#left-model", "legal")
    assert not page.locator("#left-mode").is_visible()
    page.select_option("#right-mode", "reason")
    page.select_option("#right-guard", "fence")
    rank(page)
    asked = {each["model"]: each for each in server.asked}
    assert (asked["general"]["mode"], asked["general"]["guard"]) == ("reason", "fence")
    assert asked["legal"]["mode"] == "score" and "guard" not in asked["legal"]
    assert order(page) == [1, 2, 0, 4, 3] and order(page, "left") == [3, 4, 0, 2, 1]
    assert page.locator("#left-name").inner_text() == "legal, score"
    assert page.locator("#right-name").inner_text() == "general, reason, fence"
    told = page.locator("#difference").inner_text()
    assert told.startswith(
        "4 of 5 documents stand elsewhere on the right: “The check valve leaks, so water runs ba…” up 4;"
    )
    assert page.locator("#reading section").count() == 2 and page.locator("#lines path").count() == 5


def test_the_threshold_is_there_where_it_is_calibrated(shown: Opened, server: Answering) -> None:
    page = shown.page
    give(page)
    rank(page)
    assert not page.locator("#calibrated").is_visible()
    chances = (0.93, 0.8, 0.42, 0.2, 0.05)
    server.results = {"general": [{**each, "probability": p} for each, p in zip(RANKED, chances, strict=True)]}
    server.whole = {"abstain": True}
    rank(page)
    assert page.locator("#above").inner_text() == "2 of 5 documents at or above. The stored fit abstains on this query."
    assert page.locator("#right-list .below").count() == 3
    page.focus("#threshold")
    page.keyboard.press("Home")
    assert page.locator("#right-list .below").count() == 0
    page.keyboard.press("End")
    assert (
        page.locator("#above").inner_text().startswith("0 of 5")
        and page.locator("#threshold-value").inner_text() == "1.00"
    )
    assert "probability 0.930" in page.locator("#reading section p").first.inner_text()


@pytest.mark.parametrize(
    ("text", "query", "documents"),
    [
        ("one\nline two\n\n  \nsecond", None, ["one\nline two", "second"]),
        ('{"text": "a", "title": "T"}\n\n{"content": "b"}\n"c"', None, [{"text": "a", "title": "T"}, "b", "c"]),
        ('["a", {"text": "b", "id": 7}]', None, ["a", "b"]),
        ('{"query": "asked so?",\n "documents": ["a\\n\\nb"]}', "asked so?", ["a\n\nb"]),
        ('{"query": "q?", "texts": ["a", "[b"]}', "q?", ["a", "[b"]),
    ],
)
def test_files_of_all_forms_are_read(
    shown: Opened, server: Answering, text: str, query: str | None, documents: list[Any]
) -> None:
    page = shown.page
    give(page)
    page.set_input_files("#file", {"name": "d.jsonl", "mimeType": "text/plain", "buffer": text.encode()})
    expect(page.locator("#counted")).to_have_text(re.compile(f"^{len(documents)} document"))
    server.results = {}
    rank(page)
    assert server.asked[0]["documents"] == documents
    assert server.asked[0]["query"] == (query or "why does the pump run?")


def test_a_file_can_be_dropped_and_a_faulty_one_is_refused(shown: Opened) -> None:
    page = shown.page
    drop = """text => {
        const data = new DataTransfer();
        data.items.add(new File([text], "dropped.jsonl"));
        for (const name of ["dragover", "drop"]) {
            document.getElementById("drop").dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true }));
        }
    }"""
    page.evaluate(drop, '{"text": "first"}\n{"text": "second"}')
    expect(page.locator("#counted")).to_have_text("2 documents, 11 characters.")
    page.evaluate(drop, '{"text": "first"}\n{"name": "second"}')
    expect(page.locator("#problem")).to_have_text("Line 2 has no text; give a string, or an object with “text”.")
    page.evaluate(drop, "")
    expect(page.locator("#problem")).to_have_text("found no documents in dropped.jsonl.")


@pytest.mark.parametrize(
    ("query", "documents", "said"),
    [
        ("", "a", "The query is empty; say what is asked."),
        ("q", "", "There are no documents; paste some, one a paragraph."),
    ],
)
def test_nothing_is_asked_without_a_query_and_documents(
    shown: Opened, server: Answering, query: str, documents: str, said: str
) -> None:
    page = shown.page
    give(page, [documents], query)
    page.click("#rank")
    expect(page.locator("#problem")).to_have_text(said)
    assert server.asked == []


def test_an_example_is_at_hand(shown: Opened, server: Answering) -> None:
    shown.page.click("#example")
    assert shown.page.locator("#counted").inner_text().startswith("6 documents")
    rank(shown.page)
    texts = [path.read_text("utf-8").strip() for path in sorted((ROOT / "data" / "passages").glob("*.txt"))]
    asked = server.asked[0]
    assert asked["documents"] == texts and asked["query"] in (ROOT / "README.md").read_text("utf-8")


def test_a_model_that_cannot_explain_is_not_asked_to(browser: Browser, server: Answering) -> None:
    server.models = [{**server.models[0], "modes": ["score"], "explains": False}]
    shown = opened(browser, server.url)
    expect(shown.page.locator("#explain")).to_be_hidden()
    give(shown.page)
    rank(shown.page)
    assert "explain" not in server.asked[0]
    shown.page.context.close()


def test_a_mode_that_takes_no_number_of_explanations_is_given_none(shown: Opened, server: Answering) -> None:
    server.models[0]["modes"] = ["score", "adaptive"]
    shown.page.reload()
    shown.page.wait_for_selector("html.ready")
    give(shown.page)
    for mode, explained in (("adaptive", None), ("score", 3)):
        shown.page.select_option("#right-mode", mode)
        rank(shown.page)
        assert server.asked.pop().get("explain") == explained


HOSTILE = ['it\'s $HOME `date` "q" \\ %s', 'two\n"""lines"""', "ünï 🐟 \u2028 end"]


def test_the_copied_requests_ask_the_same(shown: Opened, server: Answering, tmp_path: Path) -> None:
    page = shown.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    server.results = {}
    give(page, query="what's \\n this?")
    page.fill("#documents", json.dumps([{"text": HOSTILE[0], "title": "T"}, *HOSTILE[1:]]))
    page.select_option("#right-guard", "fence")
    rank(page)
    expected = {key: value for key, value in server.asked.pop().items() if key != "stream"}
    copied = {}
    for form in ("curl", "python", "cohere"):
        page.click(f"[data-form={form}]")
        page.click("#copy")
        expect(page.locator("#copied")).to_have_text("The request was copied.")
        copied[form] = page.evaluate("navigator.clipboard.readText()")
    environment = {"PATH": os.environ["PATH"], "INTERANK_KEY": "k"}
    server.results = {"general": RANKED[:2]}
    done = subprocess.run(
        [sys.executable, "-c", copied["python"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("1 0.94")
    subprocess.run(["sh", "-c", copied["curl"]], env=environment, capture_output=True, check=True)
    assert server.asked == [expected, expected]
    # Cohere's SDK is told alone here; tests/contracts/clients/test_page_code.py runs it.
    code = compile(copied["cohere"], "copied", "exec")
    assert {"cohere", "ClientV2", "rerank"} <= {*code.co_names}
    assert all(
        text in code.co_consts or any(text in part for part in code.co_consts if isinstance(part, tuple))
        for text in HOSTILE[1:]
    )


def test_a_link_keeps_the_input_and_sends_nothing(shown: Opened, server: Answering, browser: Browser) -> None:
    page = shown.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    give(page, [*DOCUMENTS, MARKUP], "why 🐟?")
    page.fill("#explain", "7")
    page.select_option("#right-mode", "explain")
    page.check("#compare")
    page.select_option("#left-model", "legal")
    page.click("#link")
    expect(page.locator("#copied")).to_have_text("The link was copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.url}#input=")
    again = opened(browser, link)
    assert again.page.input_value("#query") == "why 🐟?"
    assert again.page.input_value("#documents") == "\n\n".join([*DOCUMENTS, MARKUP])
    values = [again.page.input_value(f"#{name}") for name in ("right-model", "right-mode", "left-model", "explain")]
    assert values == ["general", "explain", "legal", "7"] and again.page.locator("#other").is_visible()
    assert server.asked == [] and all("input=" not in url.partition("#")[0] for url in again.asked)
    again.page.goto(f"{server.url}#input=broken")
    expect(again.page.locator("#problem")).to_contain_text("input cannot be read; it may have been cut off.")
    assert again.console == []
    again.page.context.close()


def test_planted_markup_is_text_everywhere(shown: Opened, server: Answering, browser: Browser) -> None:
    page = shown.page
    server.models = [{"id": MARKUP, "modes": ["score", MARKUP], "guards": []}]
    page.reload()
    page.wait_for_selector("html.ready")
    unseen = "safe\u202etxt.exe"
    server.results = {MARKUP: [result(0, 0.1, 0.1, 0.8), result(1, 0.3, 0.3, 0.4)]}
    server.explanations = {0: {"explanation": MARKUP, "quotes": [{"start": 0, "end": 20, "found": False, "spans": []}]}}
    server.whole = {"meta": {"warnings": [MARKUP]}}
    page.fill("#query", MARKUP)
    page.fill("#documents", json.dumps([{"text": MARKUP, "title": MARKUP}, unseen]))
    rank(page)
    assert MARKUP in page.locator("#reading .text").inner_text()
    assert MARKUP in page.locator("#reading h3").inner_text()
    assert MARKUP in (page.locator("#reading blockquote").text_content() or "").replace(" (not in the document)", "")
    assert page.locator("#warnings li").inner_text() == MARKUP
    page.locator("#right-list .doc").nth(1).click()
    assert page.locator("#reading .text").inner_text().startswith("safe[U+202E]txt.exe")
    server.refuses = (400, {"message": MARKUP})
    page.click("#rank")
    expect(page.locator("#problem")).to_contain_text("<img src=x")
    shown.console[:] = [said for said in shown.console if "400 (Bad Request)" not in said]
    assert page.evaluate("window.broken") is None
    assert page.locator("img, iframe, script[src], main script").count() == 0
    # Nor could a programme make markup of text, or add another programme.
    parse = "() => { try { document.body.innerHTML = '<b>x</b>'; } catch (fault) { return fault.name; } }"
    assert page.evaluate(parse) == "TypeError"
    shown.console[:] = [said for said in shown.console if "TrustedHTML" not in said]


def test_refusals_and_failures_are_told(shown: Opened, server: Answering) -> None:
    page = shown.page
    give(page)
    for refused, said in (
        ((429, {"message": "this client's share is used up"}), "refused (429): this client's share is used up."),
        ((422, {"detail": "found no documents"}), "refused (422): found no documents."),
        ((503, {"error": {"message": "the queue is full"}}), "refused (503): the queue is full."),
    ):
        server.refuses = refused
        page.click("#rank")
        expect(page.locator("#problem")).to_contain_text(said)
        expect(page.locator("#told")).to_have_text(re.compile("^Failed"))
    server.refuses = None
    rank(page)
    assert not page.locator("#problem").is_visible()
    server.events = lambda asked: iter([("error", {"message": "the model failed", "status": 500})])  # type: ignore[method-assign]
    page.click("#rank")
    expect(page.locator("#problem")).to_have_text("the model failed.")
    server.events = lambda asked: iter([])  # type: ignore[method-assign]
    page.click("#rank")
    expect(page.locator("#problem")).to_contain_text("closed the connection before it was done")
    shown.console[:] = [said for said in shown.console if "Failed to load resource" not in said]


def test_lists_and_heads_without_grades_are_shown(shown: Opened, server: Answering) -> None:
    page = shown.page
    bare = {"grade": None, "probabilities": None, "label_mass": None, "raw_score": None}
    server.results = {
        "general": [{"index": i, "relevance_score": 0.5 - i / 10, "score_kind": "rank", **bare} for i in range(5)],
        "legal": [
            {"index": i, "relevance_score": 0.7, "score_kind": "head", **bare, "raw_score": 0.85} for i in range(5)
        ],
    }
    give(page)
    page.check("#compare")
    page.select_option("#left-model", "legal")
    rank(page)
    assert page.locator("#right-list .gold, #right-list .chances, #left-list .gold").count() == 0
    assert {*page.locator("#right-list .number").all_text_contents()} == {""}
    assert {*page.locator("#left-list .number").all_text_contents()} == {"0.700"}
    assert page.locator("#difference").inner_text() == "Both sides have the same order."


def test_it_can_be_steered_by_keys_alone(shown: Opened, server: Answering) -> None:
    page, press = shown.page, shown.page.keyboard.press
    focused = "[document.activeElement.dataset.side, document.activeElement.dataset.place]"
    press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("why? j/k")
    press("Tab")
    page.keyboard.type("\n\n".join(DOCUMENTS))
    press("Control+Enter")
    expect(page.locator("#told")).to_have_text(re.compile("^Done"))
    assert server.asked[0]["query"] == "why? j/k" and server.asked[0]["documents"] == DOCUMENTS
    page.locator("#right-list .doc").first.focus()
    press("ArrowDown")
    assert page.evaluate(focused) == ["right", "2"]
    press("ArrowLeft")
    assert page.evaluate(focused) == ["left", "2"]
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "reading"
    assert page.locator("#reading h3").inner_text() == "Document 3"
    press("j")
    assert page.locator("#reading h3").inner_text() == "Document 1"
    press("k")
    press("Escape")
    assert page.evaluate(focused) == ["left", "2"]
    server.pause = 0.3
    press("Control+Enter")
    expect(page.locator("#stop")).to_be_enabled()
    press("Escape")
    expect(page.locator("#told")).to_have_text(re.compile("^Stopped"))


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_rows_move_unless_motion_is_unwanted(browser: Browser, server: Answering, motion: Any, moves: bool) -> None:
    found = opened(browser, server.url, reduced_motion=motion)
    found.page.evaluate(
        "() => { window.moved = 0; const animate = Element.prototype.animate;"
        " Element.prototype.animate = function (...given) { window.moved += 1; return animate.apply(this, given); }; }"
    )
    give(found.page)
    rank(found.page)
    assert (found.page.evaluate("window.moved") > 0) is moves
    found.page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (400, "light"), (400, "dark")])
def test_nothing_keeps_people_from_it(browser: Browser, server: Answering, width: int, scheme: Any) -> None:
    server.results = {"general": [{**each, "probability": 0.6} for each in RANKED], "legal": RANKED[::-1]}
    found = opened(browser, server.url, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = found.page
    for compare in (False, True):
        give(page)
        page.set_checked("#compare", compare)
        page.select_option("#left-model", "legal") if compare else None
        rank(page)
        page.locator("#right-list .doc").first.click()
        assert grave_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert found.console == []
    page.context.close()


def test_its_policy_lets_nothing_else_run() -> None:
    policy = dict(part.split(" ", 1) for part in the_page().headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert not [value for value in policy.values() if "unsafe" in value or "*" in value or "http" in value]
    body = the_page().body.decode()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", body) and body.count("<script") == 1
    assert not re.findall(r"\son\w+=|\sstyle=", body.partition("<script>")[0])
    assert "innerHTML" not in body and "insertAdjacentHTML" not in body
